//! Runs remote commands, from a one-liner to all options. Runs against a mock FaaS,
//! which executes the commands locally:
//!
//!     cargo run --example faas_execute
//!
//! For a real service, use `FaasClient::from_env()` instead of the mock's client, and
//! set `FAAS_ENDPOINT`.

use std::time::Duration;

use satellite_sdk::compute::faas::{ExecutionRequest, Output};
use satellite_sdk::testing::MockFaas;

fn main() -> satellite_sdk::Result<()> {
    let mock = MockFaas::start();
    let faas = mock.client();

    print!("{}", faas.execute("echo Hello World")?.stdout);

    let sum = ExecutionRequest::command(["awk", "{ s += $1 } END { print s }"])
        .environment("alpine-fast")
        .stdin("1\n2\n39\n")
        .timeout(Duration::from_secs(10));
    print!("the sum is {}", faas.execute(sum)?.ok()?.stdout);

    let suites = ["exit 0", "exit 3", "echo fine"].map(ExecutionRequest::shell);
    for (n, result) in faas.executions().run_batch(&suites).into_iter().enumerate() {
        let result = result?;
        println!(
            "suite {n}: {} (exit code {})",
            result.status, result.exit_code
        );
    }

    for output in faas
        .executions()
        .stream("for n in 3 2 1; do echo $n; sleep 0.2; done")?
    {
        match output? {
            Output::Exit(code) => println!("ended with {code}"),
            output => print!("{output}"),
        }
    }
    Ok(())
}
