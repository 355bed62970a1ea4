//! A processor: its state outlives its process and moves with it.

use std::time::Duration;

use satellite_sdk::Exit;
use satellite_sdk::state::{App, ExecutionContext, Outcome, Processor};
use serde::{Deserialize, Serialize};

/// What is saved. New fields need a default, so that older states can be read.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counter {
    count: u64,
}

/// What is not saved: connections, caches, settings.
struct Count {
    interval: Duration,
}

fn main() -> Exit {
    App::new().run(Count {
        interval: Duration::from_secs(1),
    })
}

impl Processor for Count {
    type State = Counter;

    fn startup(&mut self, cx: &ExecutionContext<Counter>) -> Outcome {
        log::info!("counted {} so far", cx.state().count);
        Ok(())
    }

    fn run(&mut self, cx: &ExecutionContext<Counter>) -> Outcome {
        for _ in cx.run_loop(self.interval) {
            cx.state().count += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread;

    use super::*;

    /// Runs a process until it has counted to `count`, and returns how far it came.
    fn counted_to(count: u64, folder: &Path) -> u64 {
        let app = App::new()
            .processor_id("test")
            .folder(folder)
            .endpoints(([127, 0, 0, 1], 0).into())
            .no_signals();
        let interval = Duration::from_millis(1);
        let process = app.build(Count { interval }).unwrap();
        let cx = process.context();
        let run = thread::spawn(move || process.run());
        while cx.state().count < count {
            thread::sleep(Duration::from_millis(1));
        }
        cx.stop();
        run.join().unwrap().unwrap();
        cx.state().count
    }

    #[test]
    fn the_next_process_continues_with_the_state_of_the_last() {
        let folder = std::env::temp_dir().join(format!("my-satellite-{}", std::process::id()));
        let first = counted_to(3, &folder);
        let second = counted_to(first + 1, &folder);
        assert!(second > first);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
