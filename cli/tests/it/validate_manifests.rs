//! `satellite validate`: manifests against the settings.

use crate::command::{End, Folder};

/// Manifests of `satellite generate`.
pub fn manifest(options: &str) -> String {
    let mut arguments = vec!["generate"];
    arguments.extend(options.split_whitespace());
    arguments.extend(["-o", "-", "--image", "shop/app:1"]);
    Folder::new().done(&arguments).stdout
}

fn checked(text: &str) -> End {
    Folder::new().run_with_input(&["validate", "-"], text)
}

/// What to generate, what to replace in it, and what is then reported.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn check_all(level: &str, code: i32, cases: &[Case]) {
    for (options, from, to, expected) in cases {
        let text = manifest(options);
        assert!(text.contains(from), "{from:?} is not in {text}");
        let end = checked(&text.replacen(from, to, 1));
        assert_eq!(end.code, code, "{from:?} → {to:?}: {end:?}");
        let mut lines = end.stderr.lines().filter(|line| line.starts_with(level));
        assert!(
            lines.any(|line| line.contains(expected)),
            "{from:?} → {to:?}: {end:?}"
        );
    }
}

#[test]
fn manifests_that_do_not_agree_with_the_settings_are_problems() {
    const APP: &str = "all my-app --app-port 8081";
    const PVC: &str = "all my-app --store pvc";
    check_all(
        "error: ",
        1,
        &[
            (
                PVC,
                "- name: state\n          mountPath",
                "- name: other\n          mountPath",
                "container my-app: volumeMounts: there is no volume \"other\"",
            ),
            (
                APP,
                "containerPort: 8080",
                "containerPort: 9090",
                "livenessProbe uses port 9090, but the endpoints are on 8080",
            ),
            (
                APP,
                "value: \"8080\"",
                "value: \"9090\"",
                "preStop uses port 8080, but the endpoints are on 9090",
            ),
            (
                APP,
                "port: health",
                "port: helth",
                "there is no port \"helth\"",
            ),
            (
                APP,
                "path: /ready",
                "path: /healthz",
                "readinessProbe asks /healthz; expected /ready",
            ),
            (
                APP,
                "path: /prestop",
                "path: /stop",
                "preStop asks /stop; expected /prestop",
            ),
            (APP, "livenessProbe:", "startupProbe:", "no livenessProbe"),
            (
                APP,
                "GracePeriodSeconds: 35",
                "GracePeriodSeconds: 30",
                "is not longer than DORY_SHUTDOWN_TIMEOUT_SEC 30",
            ),
            (
                APP,
                "terminationGracePeriodSeconds: 35",
                "hostname: a",
                "30 (the default) is not longer",
            ),
            (APP, "replicas: 1", "replicas: 2", "one writer"),
            (
                APP,
                "kind: Deployment",
                "kind: DaemonSet",
                "a DaemonSet runs several pods",
            ),
            (PVC, "type: Recreate", "type: RollingUpdate", "use Recreate"),
            (
                PVC,
                "persistentVolumeClaim:\n          claimName: my-app-state",
                "emptyDir: {}",
                "is no PersistentVolumeClaim",
            ),
            (
                PVC,
                "mountPath: /data",
                "mountPath: /other",
                "no volume is mounted at /data",
            ),
            (
                PVC,
                "mountPath: /data",
                "mountPath: /data\n          readOnly: true",
                "mounted read-only",
            ),
            (
                APP,
                "value: configmap",
                "value: local",
                "the state is lost with the pod",
            ),
            (
                APP,
                "value: configmap",
                "value: floppy",
                "DORY_STATE_BACKEND: expected configmap, pvc, s3 or local",
            ),
            (
                APP,
                "name: DORY_HEALTH_PORT",
                "name: DORY_HELTH_PORT",
                "did you mean DORY_HEALTH_PORT?",
            ),
            (APP, "value: \"30\"", "value: 30", "put it in quotes"),
            (
                APP,
                "  - update\n  - delete",
                "  - delete",
                "lacks: update configmaps/dory-state-my-app",
            ),
            (
                APP,
                "- dory-state-my-app",
                "- dory-state-other",
                "lacks: get configmaps/dory-state-my-app",
            ),
            (
                APP,
                "  - leases\n  verbs:\n  - create",
                "  - leases\n  verbs:\n  - list",
                "lacks: create leases.coordination.k8s.io",
            ),
            (
                APP,
                "automountServiceAccountToken: true",
                "automountServiceAccountToken: false",
                "needs the token",
            ),
            (
                APP,
                "image: \"shop/app:1\"",
                "image: Shop/App",
                "expected an image",
            ),
            (
                APP,
                "memory: \"256Mi\"",
                "memory: \"1Gi\"",
                "requests.memory 1Gi is more than limits.memory 512Mi",
            ),
            (APP, "cpu: \"100m\"", "cpu: \"100x\"", "resources cpu"),
            (
                APP,
                "  name: my-app\n",
                "  name: My_App\n",
                "is no name by RFC 1123",
            ),
            (
                APP,
                "    matchLabels:\n      app: my-app",
                "    matchLabels:\n      app: other",
                "does not match the labels of its pods",
            ),
        ],
    );
}

#[test]
fn a_sidecar_that_keeps_a_folder_starts_first_and_is_never_updated_beside_its_successor() {
    const WEB: &str = "all web --sidecar-image s:1 --state-dir /var/lib/web";
    check_all(
        "error: ",
        1,
        &[
            (
                WEB,
                "type: Recreate",
                "type: RollingUpdate",
                "cannot stop the application to hand its folder over",
            ),
            (
                WEB,
                "restartPolicy: Always",
                "tty: false",
                "make it an init container with restartPolicy Always",
            ),
            (
                WEB,
                "startupProbe:\n          httpGet:\n            path: /restored",
                "startupProbe:\n          httpGet:\n            path: /healthz",
                "expected /restored",
            ),
            (
                WEB,
                "restartPolicy: Always",
                "restartPolicy: Always\n        lifecycle: {preStop: {httpGet: {path: /prestop, port: health}}}",
                "the folder is saved while the application still writes",
            ),
        ],
    );
    check_all(
        "warning: ",
        0,
        &[(
            WEB,
            "livenessProbe:\n          httpGet:\n            path: /restored",
            "livenessProbe:\n          httpGet:\n            path: /healthz",
            "no livenessProbe of the application asks /restored",
        )],
    );
    let text = manifest(WEB);
    assert!(
        text.contains("terminationGracePeriodSeconds: 65\n"),
        "{text}"
    );
}

#[test]
fn what_works_but_is_not_best_is_a_warning() {
    const APP: &str = "all my-app";
    check_all(
        "warning: ",
        0,
        &[
            (
                APP,
                "maxSurge: 1",
                "maxSurge: 0",
                "the old pod ends before the new one starts",
            ),
            (
                APP,
                "type: RollingUpdate",
                "type: Recreate",
                "nothing runs between the pods",
            ),
            (
                APP,
                "        lifecycle:\n          preStop:\n            httpGet:\n              path: /prestop\n              port: health\n",
                "",
                "no preStop hook",
            ),
            (
                APP,
                "  - update\n  - delete",
                "  - update\n  - delete\n  - list",
                "more rights than it needs: list configmaps",
            ),
            (
                APP,
                "  resourceNames:\n  - dory-state-my-app\n",
                "",
                "get configmaps, update configmaps, delete configmaps of any name",
            ),
            (
                APP,
                "kind: RoleBinding",
                "kind: Other",
                "no RoleBinding for service account my-app",
            ),
            (
                APP,
                "runAsNonRoot: true",
                "runAsNonRoot: false",
                "restricted Pod Security Standard: runAsNonRoot is not true",
            ),
            (
                APP,
                "allowPrivilegeEscalation: false",
                "privileged: true",
                "privileged in container my-app, allowPrivilegeEscalation is not false",
            ),
            (
                APP,
                "image: \"shop/app:1\"",
                "image: shop/app",
                "no fixed tag",
            ),
        ],
    );
    let folder = Folder::new();
    let text = manifest("all my-app").replace("maxSurge: 1", "maxSurge: 0");
    let end = folder.run_with_input(&["validate", "--strict", "-"], &text);
    assert_eq!(end.code, 1, "{end:?}");
}

#[test]
fn the_settings_of_a_mounted_configmap_count() {
    let folder = Folder::new();
    folder.write("dory.yaml", include_str!("dory.yaml"));
    let arguments = [
        "generate",
        "all",
        "my-app",
        "--config",
        "dory.yaml",
        "-o",
        "-",
    ];
    let text = folder.done(&arguments).stdout;
    assert_eq!(checked(&text).code, 0);
    let changed = text.replace("    health_path: /live", "    health_path: /alive");
    let end = checked(&changed);
    assert!(
        end.stderr
            .contains("livenessProbe asks /live; expected /alive"),
        "{end:?}"
    );
    let changed = text.replace("    log_level: DEBUG", "    log_levle: DEBUG");
    let end = checked(&changed);
    assert!(end.stderr.contains("ConfigMap my-app-config config.yaml: unknown setting \"log_levle\"; did you mean log_level?"), "{end:?}");
}

/// What `dory generate all --health-port 9090` of dory-sdk writes, without its labels.
const OF_DORY_SDK: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: my-app-state-manager}
rules:
- apiGroups: [""]
  resources: ["configmaps"]
  verbs: ["get", "create", "update", "patch", "delete"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: my-app-state-manager}
subjects:
- {kind: ServiceAccount, name: my-app, namespace: default}
roleRef: {kind: Role, name: my-app-state-manager, apiGroup: rbac.authorization.k8s.io}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-app}
spec:
  replicas: 1
  selector: {matchLabels: {app: my-app}}
  template:
    metadata: {labels: {app: my-app}}
    spec:
      serviceAccountName: my-app
      terminationGracePeriodSeconds: 35
      containers:
      - name: my-app
        image: my-app:latest
        ports: [{name: health, containerPort: 9090}]
        env:
        - {name: DORY_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: DORY_POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        livenessProbe: {httpGet: {path: /healthz, port: 9090}}
        readinessProbe: {httpGet: {path: /ready, port: 9090}}
        lifecycle: {preStop: {httpGet: {path: /prestop, port: 9090}}}
"#;

#[test]
fn the_faults_of_the_manifests_of_dory_sdk_are_found() {
    let end = checked(OF_DORY_SDK);
    assert_eq!(end.code, 1, "{end:?}");
    for expected in [
        "livenessProbe uses port 9090, but the endpoints are on 8080 (DORY_HEALTH_PORT)",
        "lacks: get leases.coordination.k8s.io/dory-state-my-app",
        "patch configmaps",
        "restricted Pod Security Standard",
    ] {
        assert!(end.stderr.contains(expected), "{expected}: {end:?}");
    }
}

#[test]
fn manifests_are_read_from_folders_lists_and_json() {
    let folder = Folder::new();
    let text = manifest("all my-app");
    let (first, second) = text.split_once("---\napiVersion: apps/v1\n").unwrap();
    folder.write("there/1.yaml", first);
    folder.write("there/2.yml", &format!("apiVersion: apps/v1\n{second}"));
    folder.write("there/README.md", "not a manifest");
    let pod = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}]}"#;
    folder.write("there/3.json", pod);
    let end = folder.done(&["validate", "there"]);
    assert!(
        end.stdout.contains("Manifests: 5 objects, 1 processor\n"),
        "{end:?}"
    );

    for (text, expected) in [
        ("a: [", "wrong.yaml:"),
        ("a: 1\n", "expected objects with apiVersion and kind"),
        ("- 1\n", "expected objects with apiVersion and kind"),
        ("a: 1\na: 2\n", "wrong.yaml:"),
    ] {
        folder.write("wrong.yaml", text);
        let end = folder.run(&["validate", "wrong.yaml"]);
        assert_eq!(end.code, 1, "{text}: {end:?}");
        assert!(end.stderr.contains(expected), "{text}: {end:?}");
    }
    let end = folder.run(&["validate", "nowhere.yaml"]);
    assert!(
        end.code == 1 && end.stderr.contains("cannot read nowhere.yaml"),
        "{end:?}"
    );
}
