//! Random mixtures of what may go wrong.

use std::collections::HashMap;
use std::sync::Mutex;

use proptest::prelude::*;

use crate::jobs::{Job, Jobs, client};
use crate::scripted::{Act, Asked, Scripted};

fn job(at: usize, kind: u8, len: usize) -> Job {
    match kind {
        0 => Job::List(format!("d{at}")),
        1 => Job::Stat(format!("s{at}-{len}")),
        _ => Job::Get(format!("f{at}-{len}")),
    }
}

/// What happens to a request the first time; `None`: it is refused each time.
fn fault() -> impl Strategy<Value = Option<Act>> {
    prop_oneof![
        Just(None),
        Just(Some(Act::Close)),
        Just(Some(Act::Reset)),
        Just(Some(Act::End("busy"))),
        Just(Some(Act::End("shuttingDown"))),
        Just(Some(Act::Cut)),
        Just(Some(Act::Changed)),
        Just(Some(Act::WrongDigest)),
        Just(Some(Act::Dribble)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each request is done once: with its answer, or with its own error.
    #[test]
    fn c21_c22_each_request_has_its_own_outcome(
        requests in proptest::collection::vec((0_u8..6, 0_usize..3000), 1..150),
        faults in proptest::collection::hash_map(0_usize..150, fault(), 0..6),
        retries in 3_u32..5,
    ) {
        let jobs: Vec<_> = requests.iter().enumerate().map(|(at, (kind, len))| job(at, *kind, *len)).collect();
        let by_name: HashMap<String, Option<Act>> = faults
            .iter()
            .filter_map(|(at, fault)| Some((jobs.get(*at)?.name().to_owned(), *fault)))
            .collect();
        let refused: Vec<_> = jobs
            .iter()
            .map(Job::name)
            .filter(|name| by_name.get(*name) == Some(&None))
            .map(str::to_owned)
            .collect();
        let happened = Mutex::new(Vec::new());
        let server = Scripted::new(move |asked: &Asked| match by_name.get(&asked.name) {
            None => Act::Answer,
            Some(None) => Act::Refuse("notFound"),
            Some(Some(act)) => {
                let mut happened = happened.lock().expect("no panic");
                if happened.contains(&asked.name) {
                    return Act::Answer;
                }
                happened.push(asked.name.clone());
                *act
            }
        });
        let mut queue = Jobs::new(jobs.clone());
        let rest = queue.run_with(&mut client(server.address).with_retries(retries));
        prop_assert!(rest.is_empty());
        let mut ended: Vec<_> = queue.ended.iter().map(|(job, _)| job.name().to_owned()).collect();
        let mut expected: Vec<_> = jobs.iter().map(|job| job.name().to_owned()).collect();
        ended.sort();
        expected.sort();
        prop_assert_eq!(ended, expected);
        let mut failed: Vec<_> = queue.failed().into_iter().map(|(name, _)| name.to_owned()).collect();
        let mut refused = refused;
        failed.sort();
        refused.sort();
        prop_assert_eq!(failed, refused, "{:?}", queue.failed());
    }
}
