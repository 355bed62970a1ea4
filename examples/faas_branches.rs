//! Prepares a snapshot once and runs ten tests from it in parallel, each in its own
//! branch. Runs against a mock FaaS, which executes the commands locally:
//!
//!     cargo run --example faas_branches

use std::thread;

use satellite_sdk::Error;
use satellite_sdk::testing::MockFaas;

const SETUP: &str = "
    mkdir -p project/tests && cd project
    for n in 0 1 2 3 4 5 6 7 8 9; do
        echo \"test $n -ne 7\" > tests/module_$n.sh
    done
    echo prepared > state
";

fn main() -> satellite_sdk::Result<()> {
    let mock = MockFaas::start();
    let faas = mock.client();
    let base = faas.snapshots().create_from_script(SETUP, "test-base")?;
    let branches = faas.snapshots().branch(&base.id, 10)?;

    let results: Vec<_> = thread::scope(|scope| {
        let run = |n: usize| {
            let branch = &branches[n];
            let suite = format!("cd project && echo dirty > state && sh tests/module_{n}.sh");
            scope.spawn(move || branch.execute(suite))
        };
        let running: Vec<_> = (0..branches.len()).map(run).collect();
        let joined = running.into_iter().map(|one| one.join());
        joined
            .map(|one| one.unwrap_or_else(|_| Err(Error::new("a thread panicked"))))
            .collect()
    });
    for (n, result) in results.into_iter().enumerate() {
        println!("module {n}: {}", result?.status);
    }

    let untouched = faas
        .snapshots()
        .restore(&base.id)?
        .execute("cat project/state")?;
    print!("the snapshot is unchanged: {}", untouched.ok()?.stdout);
    faas.snapshots().delete(&base.id)
}
