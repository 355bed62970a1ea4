//! The smallest satellite: it wants `LUML_SATELLITE_TOKEN` and nothing else.
use satellite_sdk::{Builder, Exit, Task, done};

fn main() -> Exit {
    Builder::new()
        .handler("echo", |task: Task| done(task.payload))
        .run()
}
