//! The smallest satellite: it wants `LUML_SATELLITE_TOKEN` and nothing else.
use satellite_sdk::{Builder, Context, Exit, Task, done};

fn main() -> Exit {
    Builder::new()
        .handler("echo", |task: Task, _: &Context| done(task.payload))
        .run()
}
