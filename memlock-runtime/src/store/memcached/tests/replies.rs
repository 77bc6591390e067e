//! Replies: complete, malformed, late, too many, refusals, and values that are too long.

use super::*;

in_both_modes! {
    a_complete_exchange_is_answered_and_its_connection_kept
    a_malformed_reply_is_no_success_and_ends_the_connection
    replies_before_a_protocol_violation_count
    after_a_protocol_violation_a_write_stays_open_until_the_server_closes
    an_endless_reply_line_is_cut_off
    an_endless_list_of_statistics_is_cut_off
    a_batch_cut_after_any_byte_has_exactly_the_complete_replies
    late_replies_are_received_by_listening_on
    late_reads_are_not_listened_for
    an_exchange_is_cut_if_the_server_closes_while_it_is_listened_for
    an_extra_reply_ends_the_connection_after_the_exchange
    a_late_reply_to_an_earlier_exchange_never_answers_a_later_one
    a_server_error_refuses_one_request_and_keeps_the_connection
    a_server_error_before_the_server_closes_leaves_the_rest_cut
    a_client_error_refuses_one_request_and_ends_the_connection
    an_error_about_a_refused_data_block_refuses_no_other_request
    an_old_server_may_omit_the_opaque_on_a_miss
    the_line_of_a_long_item_is_enough_to_report_it
    a_long_item_is_skipped
    bytes_after_the_greeting_reply_answer_nothing
    listening_to_a_flood_does_not_block
}

fn a_complete_exchange_is_answered_and_its_connection_kept(mode: Mode) {
    let server = ScriptedServer::greeting(vec![
        Await(ADDED),
        send("HD t347483647 O1\r\nHD c9 O2\r\n"),
        Await("md memlock:f:k C5 O3\r\n"),
        send("HD O3\r\n"),
        ReadToEnd,
    ]);
    let store = server.store();
    let answer = mode.ask(&store, &[Request::ReadClock, add()]);
    assert!(answer.unanswered.is_none(), "{answer:?}");
    assert_eq!(answer.instance, Some(INSTANCE));
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Clock(1_800_000_000), Reply::Stored(cas(9))]
    );
    assert_eq!(mode.kept(&store), 1);
    assert_eq!(mode.ask(&store, &[delete()]).replies.as_slice(), [Reply::Deleted]);
    drop(store);
    server.join();
}

fn a_malformed_reply_is_no_success_and_ends_the_connection(mode: Mode) {
    for reply in [
        "\r\n",
        "garbage\r\n",
        "\0\0\0\0\r\n",
        "HD c9 O2\n",
        "HD c0 O1\r\n",
        "HD O1\r\n",
        "HD c9\r\n",
        "HD c9 O2\r\n",
        "HD c9 O1 O1\r\n",
        "NS c0\r\n",
        "EN O1\r\n",
        "OK c9 O1\r\n",
        "VA 1073741824 c9 O1\r\n",
        "VA 5 c9 O1\r\nhello\r\n",
        "VA 5 c9 O1\r\nhello!!\r\n",
        "STORED\r\n",
        "END\r\n",
    ] {
        // The server goes on reading, and closes when the client has finished sending.
        let server = ScriptedServer::greeting(vec![Await(ADDED), send(reply), ReadToEnd]);
        let store = server.store();
        let answer = mode.ask(&store, &[add(), read()]);
        assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "{reply:?}: {answer:?}");
        assert!(answer.replies.is_empty(), "{reply:?}");
        assert_eq!(answer.instance, Some(INSTANCE));
        assert!(
            text(&answer).contains("does not keep to the protocol"),
            "{}",
            text(&answer)
        );
        assert_eq!(mode.kept(&store), 0, "{reply:?}");
        server.join();
    }
}

fn replies_before_a_protocol_violation_count(mode: Mode) {
    let (go, hold) = channel();
    let server = ScriptedServer::greeting(vec![Await("v c O2\r\n"), send("HD c9 O1\r\nEN O1\r\n"), WaitFor(hold)]);
    let store = server.store();
    let answer = mode.ask(&store, &[add(), read()]);
    // The open request is a read, so there is nothing to wait for, and the server need not have closed.
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    go.send(()).expect("held");
    server.join();
}

fn after_a_protocol_violation_a_write_stays_open_until_the_server_closes(mode: Mode) {
    let (go, hold) = channel();
    let (server, store) = connected(mode, vec![Await(ADDED), send("garbage\r\n"), WaitFor(hold)]);
    let answer = mode.exchange(&store, &[add()], None, SHORT);
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    let pending = answer.pending.expect("a write is open");
    let pending = pending.wait(SHORT).expect_err("still open");
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("closed");
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert!(answer.replies.is_empty());
    server.join();
}

fn an_endless_reply_line_is_cut_off(mode: Mode) {
    let server = ScriptedServer::greeting(vec![Await("v c O1\r\n"), Flood(50_000_000)]);
    let store = server.store();
    let answer = mode.ask(&store, &[read()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert!(text(&answer).contains("endless"), "{}", text(&answer));
    server.join();
    let server = ScriptedServer::start(vec![vec![Await("stats settings\r\n"), Flood(50_000_000)]]);
    let answer = mode.ask(&server.store(), &[read()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("does not end"), "{}", text(&answer));
    server.join();
}

fn an_endless_list_of_statistics_is_cut_off(mode: Mode) {
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        SendBytes("STAT a b\r\n".repeat(100_000).into_bytes()),
    ]]);
    let answer = mode.ask(&server.store(), &[read()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("does not end"), "{}", text(&answer));
    server.join();
}

fn a_batch_cut_after_any_byte_has_exactly_the_complete_replies(mode: Mode) {
    let replies = "HD t347483647 O1\r\nHD c9 O2\r\nVA 5 c9 O3\r\nhello\r\n";
    let ends = [18, 28, 47];
    for cut in 0..replies.len() {
        let server = ScriptedServer::greeting(vec![Await("v c O3\r\n"), send(&replies[..cut])]);
        let answer = mode.ask(&server.store(), &[Request::ReadClock, add(), read()]);
        let whole = ends.iter().filter(|end| cut >= **end).count();
        assert_eq!(answer.replies.len(), whole, "cut after {cut}: {answer:?}");
        assert_eq!(unanswered(&answer), Some(Unanswered::Cut), "cut after {cut}");
        assert!(answer.pending.is_none());
        server.join();
    }
}

fn late_replies_are_received_by_listening_on(mode: Mode) {
    let (go, hold) = channel();
    let script = vec![
        Await("v c O4\r\n"),
        send("HD t347483647 O2\r\nHD c"),
        WaitFor(hold),
        send("9 O3\r\nEN O4\r\n"),
        // The connection is in step again. A pipe is retired all the same, since the server was slow once.
        ReadToEnd,
    ];
    let (server, store) = connected(mode, script);
    let began = clock::instant();
    let answer = mode.exchange(&store, &[Request::ReadClock, add(), read()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took >= SHORT && took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    assert_eq!(answer.replies.as_slice(), [Reply::Clock(1_800_000_000)]);
    let pending = answer.pending.expect("a write is open");
    let pending = pending.wait(SHORT).expect_err("nothing has arrived");
    assert_eq!(mode.kept(&store), 0);
    go.send(()).expect("held");
    let answer = pending.wait(PATIENCE).expect("all has arrived");
    assert!(answer.unanswered.is_none(), "{answer:?}");
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Clock(1_800_000_000), Reply::Stored(cas(9)), Reply::Missing]
    );
    assert_eq!(mode.kept(&store), usize::from(mode == Blocking));
    drop(store);
    server.join();
}

fn late_reads_are_not_listened_for(mode: Mode) {
    for (batch, said) in [(vec![read()], ""), (vec![add(), read()], "HD c9 O2\r\n")] {
        let (server, store) = connected(mode, vec![Await("v c O"), send(said), ReadToEnd]);
        let answer = mode.exchange(&store, &batch, None, SHORT);
        drop(store);
        assert_eq!(unanswered(&answer), Some(Unanswered::Late));
        assert_eq!(answer.replies.len(), batch.len() - 1);
        assert!(answer.pending.is_none());
        // The connection was closed, so the script ends.
        server.join();
    }
}

fn an_exchange_is_cut_if_the_server_closes_while_it_is_listened_for(mode: Mode) {
    let (go, hold) = channel();
    let (server, store) = connected(mode, vec![Await(ADDED), WaitFor(hold)]);
    let answer = mode.exchange(&store, &[add()], None, SHORT);
    drop(store);
    let pending = answer.pending.expect("a write is open");
    go.send(()).expect("held");
    assert_eq!(
        unanswered(&pending.wait(PATIENCE).expect("closed")),
        Some(Unanswered::Cut)
    );
    server.join();
}

fn an_extra_reply_ends_the_connection_after_the_exchange(mode: Mode) {
    let server = ScriptedServer::greeting(vec![Await(ADDED), send("HD c9 O1\r\nHD c9 O1\r\n"), ReadToEnd]);
    let store = server.store();
    let answer = mode.ask(&store, &[add()]);
    assert_eq!(answer.replies.as_slice(), [Reply::Stored(cas(9))]);
    assert_eq!(mode.kept(&store), 0);
    server.join();
}

fn a_late_reply_to_an_earlier_exchange_never_answers_a_later_one(mode: Mode) {
    let server = ScriptedServer::greeting(vec![
        Await("v c O1\r\n"),
        send("EN O1\r\n"),
        Await(ADDED),
        send("NS O1\r\n"),
        ReadToEnd,
    ]);
    let store = server.store();
    assert_eq!(mode.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    let answer = mode.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    server.join();
}

fn refused(text: &str) -> Reply {
    Reply::Refused(crate::protocol::Refusal(text.into()))
}

fn a_server_error_refuses_one_request_and_keeps_the_connection(mode: Mode) {
    let out_of_memory = "SERVER_ERROR out of memory storing object";
    let server = ScriptedServer::greeting(vec![
        Await("v c O3\r\n"),
        send(&format!("HD t5 O1\r\n{out_of_memory}\r\nEN O3\r\n")),
        ReadToEnd,
    ]);
    let store = server.store();
    let answer = mode.ask(&store, &[Request::ReadClock, add(), read()]);
    assert!(answer.unanswered.is_none());
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Clock(2_147_483_642), refused(out_of_memory), Reply::Missing]
    );
    assert_eq!(mode.kept(&store), 1);
    drop(store);
    server.join();
}

fn a_server_error_before_the_server_closes_leaves_the_rest_cut(mode: Mode) {
    let server = ScriptedServer::greeting(vec![Await("C5 O2\r\n"), send("SERVER_ERROR going down\r\n")]);
    let answer = mode.ask(&server.store(), &[add(), delete()]);
    assert_eq!(answer.replies.as_slice(), [refused("SERVER_ERROR going down")]);
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    server.join();
}

fn a_client_error_refuses_one_request_and_ends_the_connection(mode: Mode) {
    let server = ScriptedServer::greeting(vec![
        Await("v c O2\r\n"),
        send("CLIENT_ERROR bad command line format\r\nEN O2\r\n"),
        ReadToEnd,
    ]);
    let store = server.store();
    let answer = mode.ask(&store, &[add(), read()]);
    assert!(answer.unanswered.is_none());
    assert_eq!(
        answer.replies.as_slice(),
        [refused("CLIENT_ERROR bad command line format"), Reply::Missing]
    );
    assert_eq!(mode.kept(&store), 0, "the data block may have been taken for a command");
    server.join();
}

fn an_error_about_a_refused_data_block_refuses_no_other_request(mode: Mode) {
    // The second line answers the data block of the add, which was taken for a command. The delete was executed.
    let server = ScriptedServer::greeting(vec![
        Await("C5 O2\r\n"),
        send("CLIENT_ERROR bad command line format\r\nERROR\r\nHD O2\r\n"),
        ReadToEnd,
    ]);
    let answer = mode.ask(&server.store(), &[add(), delete()]);
    assert_eq!(
        answer.replies.as_slice(),
        [refused("CLIENT_ERROR bad command line format")]
    );
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    server.join();
}

fn an_old_server_may_omit_the_opaque_on_a_miss(mode: Mode) {
    let old = GREETING_REPLY.replace("1.6.18", "1.6.14");
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        SendBytes(old.into_bytes()),
        Await("v c O3\r\n"),
        send("EN\r\nHD c9 O2\r\nEN\r\n"),
        ReadToEnd,
    ]]);
    let answer = mode.ask(&server.store(), &[Request::ReadClock, add(), read()]);
    assert_eq!(
        answer.replies.as_slice(),
        [Reply::Missing, Reply::Stored(cas(9)), Reply::Missing]
    );
    server.join();
}

fn assert_foreign(reply: Option<&Reply>) {
    assert!(
        matches!(reply, Some(Reply::Item { content, .. }) if **content == Content::Foreign),
        "{reply:?}"
    );
}

fn the_line_of_a_long_item_is_enough_to_report_it(mode: Mode) {
    let (go, hold) = channel();
    // The rest never arrives, or the server closes before that.
    for last in [ReadToEnd, WaitFor(hold)] {
        let closes = matches!(last, WaitFor(_));
        if closes {
            go.send(()).expect("not held yet");
        }
        let said = send("HD c9 O2\r\nVA 1000000 c9 O3\r\nxxx");
        let (server, store) = connected(mode, vec![Await("v c O3\r\n"), said, last]);
        let limit = if closes { PATIENCE } else { SHORT };
        let answer = mode.exchange(&store, &[add(), read()], None, limit);
        assert!(answer.unanswered.is_none() && answer.pending.is_none(), "{answer:?}");
        assert_eq!(answer.replies.len(), 2);
        assert_foreign(answer.replies.last());
        assert_eq!(mode.kept(&store), 0);
        drop(store);
        server.join();
    }
}

fn a_long_item_is_skipped(mode: Mode) {
    let long = ["VA 1000000 c9 O1\r\n", &"\n".repeat(1_000_000), "\r\n"].concat();
    let server = ScriptedServer::greeting(vec![
        Await("v c O1\r\n"),
        SendBytes(long.into_bytes()),
        Await("v c O2\r\n"),
        send("EN O2\r\n"),
        ReadToEnd,
    ]);
    let store = server.store();
    assert_foreign(mode.ask(&store, &[read()]).replies.first());
    assert_eq!(mode.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    drop(store);
    server.join();
}

fn bytes_after_the_greeting_reply_answer_nothing(mode: Mode) {
    // It would be the reply to the first request.
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        SendBytes([GREETING_REPLY, "HD c9 O1\r\n"].concat().into_bytes()),
        ReadToEnd,
    ]]);
    let answer = mode.ask(&server.store(), &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    assert!(text(&answer).contains("protocol"), "{}", text(&answer));
    server.join();
}

fn listening_to_a_flood_does_not_block(mode: Mode) {
    let (stop, stopped) = channel();
    let (server, store) = connected(mode, vec![Await(ADDED), send("garbage\r\n"), FloodUntil(stopped)]);
    let answer = mode.exchange(&store, &[add()], None, SHORT);
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    let mut pending = answer.pending.expect("a write is open");
    for _ in 0..3 {
        pending = pending.wait(Duration::ZERO).expect_err("it goes on and on");
    }
    stop.send(()).expect("it floods");
    assert_eq!(
        unanswered(&pending.wait(PATIENCE).expect("closed")),
        Some(Unanswered::Cut)
    );
    server.join();
}
