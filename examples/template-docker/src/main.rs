//! A satellite that runs deployments as containers of the host's Docker engine.

mod docker;

use docker::Docker;
use satellite_sdk::{
    Builder, Context, DeployCapability, Deployment, DeploymentStatus, Exit, Failure, FormField,
    Task,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The payload of both tasks.
#[derive(Deserialize)]
struct Target {
    deployment_id: String,
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    satellite(Builder::new(), Docker::new("docker")).run()
}

/// The handlers, on any builder: the tests use one that talks to a mock platform.
fn satellite(builder: Builder, docker: Docker) -> Builder {
    let remover = docker.clone();
    builder
        .slug(concat!(
            env!("CARGO_PKG_NAME"),
            "-",
            env!("CARGO_PKG_VERSION")
        ))
        .capability(
            "deploy",
            DeployCapability::new(["any"]).field(FormField::text("image").required()),
        )
        .handler("deploy", move |task, cx: &Context| {
            deploy(&docker, task, cx)
        })
        .handler("undeploy", move |task, cx: &Context| {
            undeploy(&remover, task, cx)
        })
}

/// Starts the container. A task may run again after a crash: each step first looks at what
/// is there.
fn deploy(docker: &Docker, task: Task<Target>, cx: &Context) -> Result<(), Failure> {
    let deployment = cx.platform().get_deployment(&task.payload.deployment_id)?;
    let end = start(docker, &deployment);
    cx.platform()
        .update_deployment(&deployment.id, |update| match &end {
            Ok(address) => {
                update.status = DeploymentStatus::Active;
                update.inference_url = Some(format!("http://{address}"));
                update.error_message = None;
            }
            Err(failure) => {
                let (reason, error) = (failure.reason(), failure.error());
                update.status = DeploymentStatus::Failed;
                update.error_message = Some(json!({ "reason": reason, "error": error }));
            }
        })?;
    end.map(drop)
}

fn start(docker: &Docker, deployment: &Deployment) -> Result<String, Failure> {
    let image = deployment
        .satellite_parameters
        .get("image")
        .and_then(Value::as_str);
    // An image cannot be an option of the command.
    let Some(image) = image.filter(|image| !image.is_empty() && !image.starts_with('-')) else {
        return Err("the parameter image is no image".into());
    };
    let name = container(&deployment.id);
    if !docker.is_running(&name)? {
        docker.remove(&name)?;
        docker.run(&name, image)?;
    }
    log::info!("{name} runs {image}");
    docker.address(&name)
}

fn undeploy(docker: &Docker, task: Task<Target>, cx: &Context) -> Result<Value, Failure> {
    let id = &task.payload.deployment_id;
    docker.remove(&container(id))?;
    match cx.platform().delete_deployment(id) {
        // Deleted by an earlier attempt.
        Err(e) if e.is_not_found() => {}
        end => end?,
    }
    Ok(json!({ "removed": container(id) }))
}

fn container(deployment_id: &str) -> String {
    format!("my-satellite-{deployment_id}")
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use satellite_sdk::testing::{MockPlatform, mock_task};

    use super::*;

    /// A command in place of docker: it keeps its containers as files beside itself.
    const COMMAND: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >>"$here/calls"
case $1 in
run)
    for image; do :; done
    [ "$image" != missing ] || { echo "no such image: missing" >&2; exit 125; }
    echo "$image" >"$here/container-$4"
    ;;
ps) for file in "$here"/container-*; do [ ! -f "$file" ] || echo "${file##*/container-}"; done ;;
port) echo 127.0.0.1:32768 ;;
rm)
    [ -f "$here/container-$4" ] || { echo "Error: No such container: $4" >&2; exit 1; }
    rm "$here/container-$4"
    ;;
esac
"#;

    struct Host(PathBuf);

    impl Host {
        fn new(name: &str) -> Self {
            let process = std::process::id();
            let folder = std::env::temp_dir().join(format!("my-satellite-{process}-{name}"));
            fs::create_dir_all(&folder).unwrap();
            let command = folder.join("docker");
            fs::write(&command, COMMAND).unwrap();
            fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
            Host(folder)
        }

        fn docker(&self) -> Docker {
            Docker::new(self.0.join("docker").to_str().unwrap())
        }

        fn image_of(&self, deployment: &str) -> Option<String> {
            let file: &Path = &self.0.join(format!("container-{}", container(deployment)));
            fs::read_to_string(file)
                .ok()
                .map(|text| text.trim().to_owned())
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn run(platform: &MockPlatform, host: &Host) {
        let mut satellite = satellite(platform.worker(), host.docker()).build().unwrap();
        satellite.run_until_idle().unwrap();
    }

    #[test]
    fn a_deployment_becomes_a_container_and_is_removed_again() {
        let (platform, host) = (MockPlatform::start(), Host::new("deploy"));
        let parameters = json!({ "image": "registry.example/app:1" });
        let id = platform.add_deployment(json!({ "satellite_parameters": parameters }));
        // The second one finds the container of the first.
        for task in ["t-1", "t-2"] {
            platform.add_task(mock_task(task, "deploy", json!({ "deployment_id": id })));
        }
        run(&platform, &host);
        assert_eq!(platform.status("t-1"), "done", "{}", platform.result("t-1"));
        assert_eq!(platform.status("t-2"), "done");
        assert_eq!(
            host.image_of(&id).as_deref(),
            Some("registry.example/app:1")
        );
        let deployment = platform.deployment(&id).unwrap();
        assert_eq!(deployment["status"], "active");
        assert_eq!(deployment["inference_url"], "http://127.0.0.1:32768");
        let calls = fs::read_to_string(host.0.join("calls")).unwrap();
        assert_eq!(
            calls
                .lines()
                .filter(|line| line.starts_with("run "))
                .count(),
            1
        );

        platform.request_deletion(&id, "t-3");
        run(&platform, &host);
        assert_eq!(platform.status("t-3"), "done", "{}", platform.result("t-3"));
        assert_eq!(host.image_of(&id), None);
    }

    #[test]
    fn a_deployment_that_cannot_start_fails_with_the_reason() {
        let (platform, host) = (MockPlatform::start(), Host::new("fails"));
        for (task, image) in [("t-1", "missing"), ("t-2", "--privileged")] {
            let parameters = json!({ "image": image });
            let id = platform.add_deployment(json!({ "satellite_parameters": parameters }));
            platform.add_task(mock_task(task, "deploy", json!({ "deployment_id": id })));
        }
        run(&platform, &host);
        assert_eq!(platform.status("t-1"), "failed");
        assert!(platform.result("t-1").to_string().contains("no such image"));
        assert_eq!(platform.status("t-2"), "failed");
        assert!(platform.result("t-2").to_string().contains("is no image"));
    }
}
