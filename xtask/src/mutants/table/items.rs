//! Whose the item is.

use super::suites::{MODEL_FLUSHED, MODEL_RESTARTED, MODEL_WAITER_RESTARTED, MODEL_WATCHED, PROTOCOL, RELEASE, RENEW};
use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "release-by-cas-alone",
        breaks: "S3",
        fault: "a release that has read the item deletes it, whoever's it is",
        edits: &[Edit {
            file: RELEASE,
            from: "Some(record) if record.nonce == self.nonce => self.delete(now, instance, *cas),",
            to: "Some(_) => self.delete(now, instance, *cas),",
        }],
        suites: &[PROTOCOL, MODEL_WATCHED],
    },
    Mutant {
        name: "renewal-by-cas-alone",
        breaks: "S3",
        fault: "a renewal that has read the item adopts it, whoever's it is",
        edits: &[Edit {
            file: RENEW,
            from: "Some(record) if record.nonce == self.grant.nonce => {",
            to: "Some(_) => {",
        }],
        suites: &[PROTOCOL, MODEL_FLUSHED],
    },
    Mutant {
        name: "name-by-its-hash-alone",
        breaks: "S3 S6",
        fault: "an item is taken for this lock's although the full name in it is another's",
        edits: &[Edit {
            file: "protocol/machine.rs",
            from: "Content::Lock(record) if record.full_name.as_ref() == item.full() => Some(record),",
            to: "Content::Lock(record) => Some(record),",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "take-over-on-another-instance",
        breaks: "S3",
        fault: "a CAS that was read before a restart takes over from a stranger after it",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "                Request::RaiseCounter
            ],
            Some(instance),",
            to: "                Request::RaiseCounter
            ],
            Some(instance).filter(|_| false),",
        }],
        suites: &[PROTOCOL, MODEL_WAITER_RESTARTED],
    },
    Mutant {
        name: "renewal-on-another-instance",
        breaks: "S3",
        fault: "a CAS from before a restart renews a stranger's item after it",
        edits: &[Edit {
            file: RENEW,
            from: "only_on: Some(self.grant.instance),",
            to: "only_on: None,",
        }],
        suites: &[PROTOCOL, MODEL_RESTARTED],
    },
    Mutant {
        name: "release-on-another-instance",
        breaks: "S3",
        fault: "a CAS from before a restart deletes a stranger's item after it",
        edits: &[Edit {
            file: RELEASE,
            from: "only_on: Some(instance),",
            to: "only_on: None,",
        }],
        suites: &[PROTOCOL, MODEL_RESTARTED],
    },
    Mutant {
        name: "give-back-on-another-instance",
        breaks: "S3",
        fault: "a grant that came too late is given back by deleting a stranger's item",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "self.delete_own(grant.nonce, grant.cas, grant.instance, None)",
            to: "{
            self.state = AcquireState::GivingBack { nonce: grant.nonce, no_token: None };
            exchange(smallvec![Request::Delete { cas: grant.cas }], None)
        }",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "clearing-on-another-instance",
        breaks: "S3",
        fault: "an attempt without a reply is cleared away by deleting a stranger's item",
        edits: &[Edit {
            file: "protocol/acquire/storing.rs",
            from: "        self.state = AcquireState::Clearing { nonce };
        exchange(smallvec![Request::Delete { cas }], Some(instance))",
            to: "        self.state = AcquireState::Clearing { nonce };
        exchange(smallvec![Request::Delete { cas }], None)",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "renewal-does-not-look-after-a-restart",
        breaks: "L4",
        fault: "a renewal that meets another instance, where its item cannot be, does not notice the loss",
        edits: &[Edit {
            file: RENEW,
            from: "_ if answered.unanswered() == Unanswered::OtherInstance => self.read(),",
            to: "",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "release-does-not-look-after-a-restart",
        breaks: "L3",
        fault: "a release that meets another instance gives up, and leaves its item if it is there",
        edits: &[Edit {
            file: RELEASE,
            from: "None if answered.unanswered() == Unanswered::OtherInstance => self.read(),",
            to: "",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "release-does-not-look-after-the-deadline",
        breaks: "S3",
        fault: "a release is sent by its CAS alone although the item may be another's by now",
        edits: &[Edit {
            file: RELEASE,
            from: "(!grant.deadline.has_passed(now)).then_some((grant.instance, grant.cas))",
            to: "Some((grant.instance, grant.cas))",
        }],
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "renewal-creates",
        breaks: "S1",
        fault: "a renewal that finds no item adds it again",
        edits: &[Edit {
            file: RENEW,
            from: "\
                (Some(Reply::Missing), _) => self.end(Renewed::Lost),
                // A refused",
            to: "\
                (Some(Reply::Missing), _) => {
                    self.grant.renewals += 1;
                    let add = Request::Add {
                        record: Record {
                            renewal: self.grant.renewals,
                            ..self.spec.record(self.grant.nonce, self.spec.term())
                        },
                        ttl: ttl_of(self.spec.lease()),
                    };
                    self.state = State::Writing;
                    Output::Exchange { batch: smallvec![Request::ReadClock, add], only_on: None }
                }
                // A refused",
        }],
        suites: &[PROTOCOL, MODEL_FLUSHED],
    },
    Mutant {
        name: "refused-renewal-ignored",
        breaks: "L4",
        fault: "a holder whose renewal was refused, which may have deleted its item, does not look",
        edits: &[Edit {
            file: RENEW,
            from: "(Some(Reply::Exists | Reply::Refused(_)), _) => self.read(),",
            to: "(Some(Reply::Exists), _) => self.read(),",
        }],
        suites: &[PROTOCOL],
    },
];
