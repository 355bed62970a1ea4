//! An async handler, run by a `block_on` of your choice. This example uses pollster;
//! with tokio it would be `move |future| runtime.block_on(future)`.

use satellite_sdk::{Builder, Context, Exit, Task, done};

async fn lookup(name: &str) -> String {
    format!("Hello, {name}")
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    Builder::new()
        .async_handler(
            "greet",
            pollster::block_on,
            async |task: Task, _: Context| {
                let name = task.payload["name"].as_str().unwrap_or("world");
                done(lookup(name).await)
            },
        )
        .run()
}
