//! Releases and renewals touch no other grant's item.

use super::Mutant;
use super::suites::{HANDOVER, LOST_STATE, MODEL_ROUND, PROTOCOL, model};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "anothers-item-released",
        breaks: "S3",
        decision: "A release that has read the item deletes it only where the nonce is its own.",
        file: "protocol/release.rs",
        from: "Some(record) if record.nonce == self.nonce => self.delete(now, instance, *cas),",
        to: "Some(_) => self.delete(now, instance, *cas),",
        suites: &[PROTOCOL, MODEL_ROUND],
    },
    Mutant {
        name: "late-release-without-a-look",
        breaks: "S3",
        decision: "A release after the deadline reads first, because the item may be another's by then.",
        file: "protocol/release.rs",
        from: "(!grant.deadline.has_passed(now)).then_some((grant.instance, grant.cas))",
        to: "Some((grant.instance, grant.cas))",
        suites: &[PROTOCOL],
    },
    Mutant {
        name: "renewal-on-another-instance",
        breaks: "S3",
        decision: "A CAS counts only on the server instance that gave it: after a restart it may be a stranger's.",
        file: "protocol/renew.rs",
        from: "only_on: Some(self.grant.instance),",
        to: "only_on: None,",
        suites: &[PROTOCOL, model(LOST_STATE, "a_cas_from_before_a_restart")],
    },
    Mutant {
        name: "renewal-creates-the-item",
        breaks: "S1",
        decision: "A renewal compares and sets, and never creates an item that is gone.",
        file: "protocol/renew.rs",
        from: "(Some(Reply::Stored(cas)), Some(instance)) => {",
        to: "(Some(Reply::Missing), _) => {
                    self.grant.renewals += 1;
                    let record = Record {
                        renewal: self.grant.renewals,
                        ..self.spec.record(self.grant.nonce, self.spec.lengths())
                    };
                    let add = Request::Add { record, ttl: self.grant.ttl };
                    Output::Exchange { batch: smallvec![Request::ReadClock, add], only_on: None }
                }
                (Some(Reply::Stored(cas)), Some(instance)) => {",
        suites: &[PROTOCOL, model(HANDOVER, "a_flush_excuses")],
    },
    Mutant {
        name: "item-told-by-its-hash-alone",
        breaks: "S3 S6",
        decision: "An item is a lock's only if the full name in it is the lock's: two long names may have one hash.",
        file: "protocol/machine.rs",
        from: "Content::Lock(record) if record.full_name.as_ref() == item.full() => Some(record),",
        to: "Content::Lock(record) => Some(record),",
        suites: &[PROTOCOL],
    },
];
