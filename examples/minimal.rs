//! The smallest satellite. It only requires `LUML_SATELLITE_TOKEN`.
use satellite_sdk::{Builder, Exit, Task, done};

fn main() -> Exit {
    Builder::new()
        .handler("echo", |task: Task| done(task.payload))
        .run()
}
