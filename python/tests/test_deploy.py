"""What operators take from deploy/: whether it is valid, fits the program, and fits itself."""

import configparser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tomllib

import kubernetes_validate
import promql_parser
import pytest
import yaml

from conftest import REPOSITORY, Tracker, cah, free_port

DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "kubernetes"

# All that /metrics exports and the alerts and the dashboard may ask for.
METRICS = {
    "cah_jobs",
    "cah_jobs_open",
    "cah_jobs_leased",
    "cah_pairs",
    "cah_workers",
    "cah_candidates",
    "cah_http_requests_total",
    "cah_http_request_duration_seconds_bucket",
    "cah_build_info",
}

# How long a tracker that stops may take for the calls under way.
DRAIN_SECONDS = 10


class Strict(yaml.SafeLoader):
    """Refuses what YAML forbids and PyYAML does not: the same key twice."""


def mapping(loader, node):
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key stands twice, {node.start_mark}"
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def files(*patterns):
    """Those that are part of the repository: no secrets, and nothing of an editor's."""
    found = {path for pattern in patterns for path in DEPLOY.rglob(pattern) if path.is_file()}
    own = {DEPLOY / ".env"} | set((DEPLOY / "secrets").rglob("*"))
    return sorted(found - own)


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(DEPLOY)))


def documents(path):
    return list(yaml.load_all(path.read_text(), Strict))


def document(name):
    (found,) = documents(DEPLOY / name)
    return found


def seconds(text):
    """A duration as Compose and systemd write it."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|min|h)?", str(text)).groups()
    return int(number) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[unit]


@named(files("*.yaml", "*.yml", "*.json", "*.toml", "*.service"))
def test_a_file_can_be_read(path):
    match path.suffix:
        case ".json":
            assert json.loads(path.read_text())
        case ".toml":
            assert tomllib.loads(path.read_text())
        case ".service":
            assert unit(path.name)
        case _:
            assert all(documents(path))


def test_the_readme_tells_of_every_file():
    readme = (DEPLOY / "README.md").read_text()
    for path in files("*"):
        if path.parent == DEPLOY and path.name not in {"README.md", ".gitignore"}:
            # The list of what the image is built from belongs to the file that it is named after.
            assert f"`{path.name.removesuffix('.dockerignore')}`" in readme, path
    for name in ["kubernetes/", "kubernetes/worker/", "grafana/dashboard.json"]:
        assert f"`{name}`" in readme and (DEPLOY / name).exists()


# What is said to the program


def help_of(*command):
    return cah(*command, "--help")


@pytest.fixture(scope="module")
def helps():
    """The help of every command that deploy/ may use."""
    commands = re.findall(r"^  ([a-z-]+)  ", help_of("tracker"), re.MULTILINE)
    found = {("tracker", name): help_of("tracker", name) for name in commands if name != "help"}
    return found | {("worker",): help_of("worker")}


def flags_of(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def test_every_variable_is_one_of_the_program(helps):
    known = set(re.findall(r"CAH_[A-Z_]*[A-Z]", "".join(helps.values())))
    for path in files("*"):
        used = set(re.findall(r"\bCAH_[A-Z_]*[A-Z]\b", path.read_text()))
        assert used <= known, path


COMMAND = re.compile(r"\bcah (tracker [a-z-]+|worker)\b([^\n`'|]*)")


def commands():
    """Each command line of the program in deploy/, and what containers are started with."""
    for path in files("*"):
        text = path.read_text().replace("\\\n", " ")
        for command, rest in COMMAND.findall(text):
            yield path, tuple(command.split()), flags_of(rest)
    for path in [KUBERNETES / "deployment.yaml", KUBERNETES / "worker/deployment.yaml"]:
        arguments = container(path)["args"]
        command = tuple(word for word in arguments[:2] if not word.startswith("-"))
        yield path, command, flags_of(" ".join(arguments))
    arguments = document("compose.yaml")["services"]["tracker"]["command"]
    yield DEPLOY / "compose.yaml", tuple(arguments[:2]), flags_of(" ".join(arguments[2:]))


def test_every_command_is_one_of_the_program(helps):
    found = list(commands())
    assert len(found) > 10
    for path, command, flags in found:
        assert command in helps, path
        assert flags <= flags_of(helps[command]), (path, command)


def test_every_flag_that_is_told_of_is_one_of_the_program(helps):
    known = flags_of("".join(helps.values())) | {"--profile"}  # of Docker
    for path in files("*"):
        told = set(re.findall(r"`(--[a-z-]+)", path.read_text()))
        assert told <= known, path


# The image


def instructions():
    """The Dockerfile's instructions in order, continued lines joined."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def the(instruction):
    """The argument of the last one, as the image has it."""
    return [argument for name, argument in instructions() if name == instruction][-1]


def test_the_image_runs_the_tracker_as_nobody_special():
    user, group = the("USER").split(":")
    made = " ".join(argument for name, argument in instructions() if name == "RUN")
    assert f"useradd --uid {user} " in made and f"groupadd --gid {group} " in made
    assert int(user) >= 1000
    assert json.loads(the("ENTRYPOINT")) == ["cah"]
    assert json.loads(the("CMD")) == ["tracker", "serve"]
    assert [name for name, _ in instructions()].count("FROM") == 2
    assert "cargo build --release --locked" in made


def test_the_build_is_given_what_it_copies():
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0] == "*" and all(line.startswith("!") for line in lines[1:])
    given = [REPOSITORY / line[1:] for line in lines[1:]]
    assert all(path.exists() for path in given)
    for name, argument in instructions():
        if name == "COPY" and "--from" not in argument:
            for source in argument.split()[:-1]:
                path = REPOSITORY / source
                assert path == REPOSITORY or any(path.is_relative_to(one) for one in given)


def test_the_build_is_given_every_member_of_the_workspace():
    """Cargo reads the manifests of all of them, whatever it builds, and looks for their sources."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    given = [REPOSITORY / line[1:] for line in lines if line.startswith("!")]
    workspace = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]
    members = [path for member in workspace["members"] for path in REPOSITORY.glob(member)]
    assert len(members) > 10
    for member in members:
        for needed in (member / "Cargo.toml", member / "src"):
            assert any(needed.is_relative_to(one) for one in given), needed


def test_the_build_is_given_what_the_sources_include():
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    given = [REPOSITORY / line[1:] for line in lines if line.startswith("!")]
    included = re.compile(r'include_(?:str|bytes)!\(\s*"([^"]+)"')
    for source in (REPOSITORY / "crates").glob("*/src/**/*.rs"):
        # The tests of a module stand at its end, and are not built.
        built = source.read_text().split("#[cfg(test)]")[0]
        for name in included.findall(built):
            path = (source.parent / name).resolve()
            assert any(path.is_relative_to(one) for one in given), (source, name)


# What must be the same everywhere


def port():
    return int(the("EXPOSE"))


def test_everything_agrees_on_the_port():
    assert f"CAH_LISTEN=0.0.0.0:{port()} " in the("ENV") + " "
    tracker = document("compose.yaml")["services"]["tracker"]
    assert [published.rsplit(":", 1)[1] for published in tracker["ports"]] == [str(port())]
    assert f"/dev/tcp/127.0.0.1/{port()} " in tracker["healthcheck"]["test"][-1]
    (scraped,) = document("prometheus.yml")["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": [f"tracker:{port()}"]}]
    ports = container(KUBERNETES / "deployment.yaml")["ports"]
    assert ports == [{"name": "http", "containerPort": port()}]
    (policy,) = documents(KUBERNETES / "worker/network-policy.yaml")
    allowed = [one for rule in policy["spec"]["egress"] for one in rule.get("ports", [])]
    assert {"port": port()} in allowed
    settings = tomllib.loads((DEPLOY / "tracker.toml").read_text())
    assert settings["listen"] == f"127.0.0.1:{port()}"


def test_everything_agrees_on_the_user():
    uid, gid = map(int, the("USER").split(":"))
    for path in [KUBERNETES / "deployment.yaml", KUBERNETES / "worker/deployment.yaml"]:
        context = pod(path)["securityContext"]
        assert context["runAsNonRoot"] is True
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (uid, gid, gid)
    # Without `user` a container has the image's.
    assert "user" not in document("compose.yaml")["services"]["tracker"]


def test_everything_agrees_on_where_to_write():
    data = the("VOLUME")
    assert the("WORKDIR") == data
    assert f"TMPDIR={data}" in the("ENV").split()
    tracker = document("compose.yaml")["services"]["tracker"]
    assert f"data:{data}" in tracker["volumes"] and tracker["read_only"] is True
    for path in [KUBERNETES / "deployment.yaml", KUBERNETES / "worker/deployment.yaml"]:
        mounts = {mount["mountPath"]: mount for mount in container(path)["volumeMounts"]}
        assert not mounts[data].get("readOnly")
        assert container(path)["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_tracker_that_stops_is_given_the_time():
    tracker = document("compose.yaml")["services"]["tracker"]
    assert seconds(tracker["stop_grace_period"]) > DRAIN_SECONDS
    assert seconds(unit("cah-tracker.service")["Service"]["TimeoutStopSec"]) > DRAIN_SECONDS
    for path, drain in [("deployment.yaml", DRAIN_SECONDS), ("worker/deployment.yaml", 30)]:
        command = container(KUBERNETES / path)["lifecycle"]["preStop"]["exec"]["command"]
        slept = int(" ".join(command).rsplit("sleep ", 1)[1])
        assert pod(KUBERNETES / path)["terminationGracePeriodSeconds"] > slept + drain
    worker = unit("cah-worker@.service")["Service"]
    waited = int(re.search(r"timeout (\d+) ", worker["ExecStop"])[1])
    assert seconds(worker["TimeoutStopSec"]) > waited + 30


# Compose


def test_compose_names_what_is_there():
    compose = document("compose.yaml")
    for name, service in compose["services"].items():
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        assert set(service.get("depends_on", [])) <= set(compose["services"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).is_file(), volume
    build = compose["services"]["tracker"]["build"]
    assert (DEPLOY / build["context"]).resolve() == REPOSITORY
    assert REPOSITORY / build["dockerfile"] == DEPLOY / "Dockerfile"


def test_compose_asks_for_no_variable_that_nobody_tells_of():
    told = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    services = document("compose.yaml")["services"]
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    environment = services["tracker"]["environment"]
    asked |= {name for name, value in environment.items() if value is None}
    assert asked == told


def test_no_secret_is_committed():
    ignored = (DEPLOY / ".gitignore").read_text().split()
    assert {"/.env", "/secrets/"} <= set(ignored)
    readme = (DEPLOY / "README.md").read_text()
    for name, secret in document("compose.yaml")["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert name in readme
    for path in files("*"):
        assert not re.search(r"\b[0-9a-f]{32,}\b|BEGIN [A-Z ]*PRIVATE", path.read_text()), path


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deploy")
    paths = folder / "wat.paths"
    paths.write_text("crawl-data/0.warc.wat.gz\n")
    with Tracker(folder, ["--wat-paths", paths]) as tracker:
        yield tracker


def test_the_health_check_tells_whether_the_tracker_can_serve(tracker):
    kind, *command = document("compose.yaml")["services"]["tracker"]["healthcheck"]["test"]
    assert kind == "CMD"

    def checked(port_asked):
        asked = [word.replace("$$", "$") for word in command]
        asked[-1] = asked[-1].replace(f"/{port()} ", f"/{port_asked} ")
        return subprocess.run(asked, timeout=10, stderr=subprocess.DEVNULL).returncode

    assert checked(tracker.url.rsplit(":", 1)[1]) == 0
    assert checked(free_port()) != 0


def test_the_store_of_compose_has_the_password(tmp_path):
    service = document("compose.yaml")["services"]["tracker"]
    secrets = tmp_path / "secrets"
    program = tmp_path / "cah"
    program.write_text('#!/bin/sh\necho "$CAH_STORE $*"\n')
    program.chmod(0o755)
    command = [word.replace("$$", "$") for word in service["entrypoint"] + service["command"]]
    command = [word.replace("/run/secrets", str(secrets)) for word in command]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run():
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    missing = run()
    assert missing.returncode != 0 and missing.stdout == ""
    secrets.mkdir()
    (secrets / "postgres_password").write_text("0a1b2c\n")
    assert run().stdout == "postgres://cah:0a1b2c@postgres/cah tracker serve\n"


def test_compose_itself_takes_the_file():
    for compose in [["docker", "compose"], ["docker-compose"]]:
        if shutil.which(compose[0]):
            if subprocess.run([*compose, "version"], capture_output=True).returncode == 0:
                break
    else:
        pytest.skip("Docker Compose is not installed")
    command = [*compose, "--file", DEPLOY / "compose.yaml", "--profile", "monitoring"]
    command += ["config", "--format", "json"]
    environment = {**os.environ, "CAH_PROJECT": "Words"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"tracker", "postgres", "prometheus", "grafana"}
    assert services["tracker"]["environment"]["CAH_PROJECT"] == "Words"


# systemd


def unit(name):
    """Its sections; of a setting that is given several times, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str
    parser.read(DEPLOY / name)
    return parser


def test_units_start_what_the_readme_installs():
    readme = (DEPLOY / "README.md").read_text()
    assert "sudo install target/release/cah /usr/local/bin/" in readme
    for name in ["cah-tracker.service", "cah-worker@.service"]:
        service = unit(name)["Service"]
        assert service["ExecStart"].startswith("/usr/local/bin/cah ")
        for setting in ["DynamicUser", "NoNewPrivileges", "MemoryDenyWriteExecute"]:
            assert service[setting] == "yes", (name, setting)
        assert service["ProtectSystem"] == "strict" and service["CapabilityBoundingSet"] == ""
    tracker = (DEPLOY / "cah-tracker.service").read_text()
    for credential in re.findall(r"%d/(\S+)", tracker):
        assert f"LoadCredential={credential}:/etc/cah/{credential}" in tracker
    settings = tomllib.loads((DEPLOY / "tracker.toml").read_text())
    assert int(unit("cah-tracker.service")["Service"]["LimitNOFILE"]) > 2 * settings["max-workers"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["cah-tracker.service", "cah-worker@.service"])
def test_systemd_takes_the_unit(tmp_path, name):
    path = tmp_path / name.replace("@", "@anna")
    text = (DEPLOY / name).read_text()
    path.write_text(text.replace("/usr/local/bin/cah", os.path.realpath(os.environ["CAH_BIN"])))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True
    )
    # It also speaks of other units of the machine.
    own = [line for line in done.stderr.splitlines() if path.name in line]
    assert done.returncode == 0 and not own, done.stderr


# Kubernetes


def manifests():
    return sorted(path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml")


def pod(path):
    (deployment,) = documents(path)
    return deployment["spec"]["template"]["spec"]


def container(path):
    (found,) = pod(path)["containers"]
    return found


def of_kind(kind):
    found = [one for path in manifests() for one in documents(path)]
    return [one for one in found if one["kind"] == kind]


# Of operators that bring them along.
CUSTOM = {"ServiceMonitor": "monitoring.coreos.com/v1", "ScaledObject": "keda.sh/v1alpha1"}


LATEST = kubernetes_validate.latest_version()


@pytest.mark.parametrize("version", ["1.27", LATEST])
@named(manifests())
def test_kubernetes_takes_the_manifest(path, version):
    for manifest in documents(path):
        # What kubectl applies it to is the namespace that the operator names.
        assert "namespace" not in manifest["metadata"]
        if manifest["kind"] in CUSTOM:
            assert manifest["apiVersion"] == CUSTOM[manifest["kind"]]
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "worker"], ids=["tracker", "worker"])
def test_a_kustomization_names_every_manifest(folder):
    text = (folder / "kustomization.yaml").read_text()
    (kustomization,) = documents(folder / "kustomization.yaml")
    offered = set(re.findall(r"^  # - (\S+\.yaml)$", text, re.MULTILINE))
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) | offered == there
    assert not set(kustomization["resources"]) & offered
    # Those that need what a bare cluster does not have are only offered.
    for name in kustomization["resources"]:
        assert all(one["kind"] not in {*CUSTOM, "Ingress"} for one in documents(folder / name))
    # Its images and variables are those of the pods.
    images = [image["name"] for image in kustomization["images"]]
    assert [container(folder / "deployment.yaml")["image"]] == images
    generated = {one["name"] for one in kustomization["configMapGenerator"]}
    sources = container(folder / "deployment.yaml")["envFrom"]
    assert {one["configMapRef"]["name"] for one in sources if "configMapRef" in one} == generated


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "worker"], ids=["tracker", "worker"])
def test_kustomize_builds(tmp_path, folder):
    """As it stands, and with all that is offered."""
    whole = tmp_path / "kubernetes"
    shutil.copytree(folder, whole)
    offered = whole / "kustomization.yaml"
    offered.write_text(re.sub(r"^( +)# - ", r"\1- ", offered.read_text(), flags=re.MULTILINE))
    for built in [folder, whole]:
        done = subprocess.run(["kubectl", "kustomize", built], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        for manifest in yaml.safe_load_all(done.stdout):
            if manifest["kind"] not in CUSTOM:
                kubernetes_validate.validate(manifest, LATEST, strict=True)


def selected(labels):
    """The names of the deployments whose pods have these labels."""
    found = []
    for deployment in of_kind("Deployment"):
        of_pods = deployment["spec"]["template"]["metadata"]["labels"]
        if labels and labels.items() <= of_pods.items():
            found.append(deployment["metadata"]["name"])
    return found


def test_selectors_find_what_they_are_meant_for():
    deployments = of_kind("Deployment")
    assert len(deployments) == 2
    for deployment in deployments:
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        assert selected(spec["selector"]["matchLabels"]) == [name]
        for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
            assert selected(spread["labelSelector"]["matchLabels"]) == [name]
    (service,) = of_kind("Service")
    assert selected(service["spec"]["selector"]) == [service["metadata"]["name"]]
    for kind, selector in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")]:
        for one in of_kind(kind):
            assert selected(one["spec"][selector]["matchLabels"]) == [one["metadata"]["name"]]
    for monitor in of_kind("ServiceMonitor"):
        spec = monitor["spec"]
        assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        (scraped,) = document("prometheus.yml")["scrape_configs"]
        assert service["metadata"]["labels"][spec["jobLabel"]] == scraped["job_name"]
        ports = [one["name"] for one in service["spec"]["ports"]]
        assert [one["port"] for one in spec["endpoints"]] == ports
    for scaled in of_kind("ScaledObject"):
        names = [one["metadata"]["name"] for one in deployments]
        assert scaled["spec"]["scaleTargetRef"]["name"] in names


def test_calls_reach_the_tracker(tracker):
    (service,) = of_kind("Service")
    found = container(KUBERNETES / "deployment.yaml")
    ports = {one["name"] for one in found["ports"]}
    assert all(one["targetPort"] in ports for one in service["spec"]["ports"])
    for policy in of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert all(one["port"] in ports for one in rule["ports"])
    for ingress in of_kind("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                assert backend["name"] == service["metadata"]["name"]
                assert backend["port"]["name"] in [one["name"] for one in service["spec"]["ports"]]
    names = ["startup", "liveness", "readiness"]
    probes = {name: found[f"{name}Probe"]["httpGet"] for name in names}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    for probe in probes.values():
        assert probe["port"] in ports
        assert tracker.get(probe["path"]).status_code == 200
    worker = document("kubernetes/worker/kustomization.yaml")
    (generated,) = worker["configMapGenerator"]
    assert f"CAH_TRACKER=http://{service['metadata']['name']}/" in generated["literals"]


def test_pods_can_do_no_more_than_they_need():
    for deployment in of_kind("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        # A service `cah-…` would otherwise bring variables that begin as the program's do.
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (found,) = spec["containers"]
        assert found["securityContext"]["allowPrivilegeEscalation"] is False
        assert found["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= found["resources"]["requests"].keys()
        assert "memory" in found["resources"]["limits"]
    assert document("kubernetes/deployment.yaml")["spec"]["replicas"] == 2


def test_secrets_are_those_that_one_is_told_to_make():
    told = [DEPLOY / "README.md", *KUBERNETES.rglob("kustomization.yaml")]
    told = "".join(path.read_text() for path in told)
    names = set(re.findall(r"create secret generic (\S+)", told))
    keys = set(re.findall(r"--from-literal=([\w-]+)", told))
    found = container(KUBERNETES / "deployment.yaml")
    (store,) = [one["valueFrom"]["secretKeyRef"] for one in found["env"] if "valueFrom" in one]
    volumes = pod(KUBERNETES / "deployment.yaml")["volumes"]
    (volume,) = [one["secret"] for one in volumes if "secret" in one]
    (mount,) = [one for one in found["volumeMounts"] if one["name"] == "secrets"]
    (item,) = volume["items"]
    (token,) = [one["value"] for one in found["env"] if one["name"] == "CAH_ADMIN_TOKEN_FILE"]
    assert token == f"{mount['mountPath']}/{item['path']}"
    assert {store["key"], item["key"]} <= keys
    worker = container(KUBERNETES / "worker/deployment.yaml")["envFrom"]
    (bucket,) = [one["secretRef"]["name"] for one in worker if "secretRef" in one]
    assert names == {store["name"], volume["secretName"], bucket}


# Monitoring


def rules():
    return [rule for group in document("alerts.yml")["groups"] for rule in group["rules"]]


def dashboard():
    return json.loads((DEPLOY / "grafana/dashboard.json").read_text())


def expressions():
    """Everything that Prometheus is asked, Grafana's variables filled in."""
    asked = [rule["expr"] for rule in rules()]
    asked += [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for scaled in of_kind("ScaledObject"):
        asked += [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    fill = {"$__rate_interval": "5m", "$window": "1h", "$job": "cah"}
    for name, value in fill.items():
        asked = [expression.replace(name, value) for expression in asked]
    return asked


def test_expressions_use_what_the_tracker_exports(tracker):
    assert len(expressions()) > 20
    used = set()
    for expression in expressions():
        assert "$" not in expression
        promql_parser.parse(expression)
        used |= set(re.findall(r"\bcah_\w+", expression))
    assert used == METRICS
    tracker.get("/")
    exported = tracker.get("/metrics").text
    assert METRICS <= set(re.findall(r"^(\w+)", exported, re.MULTILINE))
    # Labels that are asked for are there, and so are the values that are not patterns.
    labels = set(re.findall(r'[{,](\w+)="', exported)) | {"job", "instance"}
    for expression in expressions():
        assert set(re.findall(r"[{,](\w+)[!=]", expression)) <= labels
        grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        assert {name.strip() for names in grouped for name in names.split(",")} <= labels
        for value in re.findall(r'state=~?"([^"]*)"', expression):
            assert all(f'cah_jobs{{state="{one}"}}' in exported for one in value.split("|"))


def test_alerts_say_what_to_do():
    assert len(rules()) == len({rule["alert"] for rule in rules()}) >= 5
    for rule in rules():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert seconds(rule["for"]) >= 60
    (found,) = document("prometheus.yml")["rule_files"]
    mounted = document("compose.yaml")["services"]["prometheus"]["volumes"]
    assert f"./{found}:/etc/prometheus/{found}:ro" in mounted
    monitor = (REPOSITORY / "crates/cah-tracker/src/routes/monitor.rs").read_text()
    for rule in rules():
        for route in re.findall(r'route!?="([^"]*)"', rule["expr"]):
            assert f'"{route}"' in monitor, route


def test_the_dashboard_is_whole():
    board = dashboard()
    assert board["schemaVersion"] >= 39 and board["uid"]
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - {"__rate_interval"}
    assert used == set(variables)
    panels = board["panels"]
    for name in ["id", "title"]:
        assert len({panel[name] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        for asked in [panel, *panel["targets"]]:
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_grafana_finds_the_dashboard_and_prometheus():
    services = document("compose.yaml")["services"]
    mounted = [volume.split(":") for volume in services["grafana"]["volumes"]]
    place = {source: pathlib.PurePosixPath(target) for source, target, *_ in mounted}
    (provider,) = document("grafana/dashboards.yaml")["providers"]
    assert provider["options"]["path"] == str(place["./grafana/dashboard.json"].parent)
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == str(place["./grafana/dashboard.json"])
    for kind in ["datasources", "dashboards"]:
        assert str(place[f"./grafana/{kind}.yaml"].parent) == f"/etc/grafana/provisioning/{kind}"
    (source,) = document("grafana/datasources.yaml")["datasources"]
    listens = services["prometheus"]["ports"][0].rsplit(":", 1)[1]
    assert source["url"] == f"http://prometheus:{listens}"
    interval = document("prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
