"""StackManager against a scripted docker: every fault is one sentence, bounded in time, and no secret gets out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.containers import ScriptedDocker
from tests.stacks.shop import FILE, PASSWORD, file_of
from tests.tidy.source import ROOT
from venom_core.config import Settings
from venom_core.infrastructure.stack_manager import COMPOSE_BYTES_MAX, StackManager

PS_LINES = """
echo '{"Service":"web","Name":"shop-web-1","State":"running","Health":"healthy","ExitCode":0}'
echo '{"Service":"job","Name":"shop-job-1","State":"exited","Health":"","ExitCode":3}'
"""


def test_a_new_manager_runs_and_creates_nothing(manager: StackManager, docker: ScriptedDocker) -> None:
    assert docker.calls == []
    assert not manager.workspace_root.exists()


def test_without_a_folder_the_stacks_stand_in_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert StackManager().stacks_dir == tmp_path / ".local" / "share" / "venom-hive" / "stacks"


def test_a_deployment_checks_the_file_and_then_starts_it(shop: StackManager, docker: ScriptedDocker) -> None:
    version, checked, started = docker.calls
    assert version == "compose version --short"
    assert checked.endswith("--project-name shop config --quiet")
    assert started == f"compose --file {file_of(shop)} --project-name shop up --detach --remove-orphans"
    assert file_of(shop).read_text() == FILE
    assert file_of(shop).stat().st_mode & 0o077 == 0


def test_a_project_is_remembered_from_the_deployment(manager: StackManager, docker: ScriptedDocker) -> None:
    assert manager.deploy_stack(FILE, "shop", "shop-blue")[0]
    assert manager.destroy_stack("shop")[0]
    assert "--project-name shop-blue --profile * down" in docker.calls[-1]
    assert manager.destroy_stack("shop", "shop-green")[0]
    assert "--project-name shop-green --profile * down" in docker.calls[-1]


def test_data_outlives_a_stack_unless_asked(shop: StackManager, docker: ScriptedDocker) -> None:
    assert shop.destroy_stack("shop") == (True, "Stack shop is destroyed, its volumes are kept.")
    assert docker.calls[-1].endswith("--profile * down --remove-orphans")
    done, said = shop.destroy_stack("shop", remove_volumes=True, cleanup_directory=True)
    assert (done, said) == (True, "Stack shop is destroyed, its volumes are gone too, and its folder is removed.")
    assert docker.calls[-1].endswith("down --remove-orphans --volumes")
    assert not file_of(shop).parent.exists()


def test_a_folder_stays_when_its_stack_could_not_be_ended(shop: StackManager, docker: ScriptedDocker) -> None:
    docker.behave("echo 'network in use' >&2; exit 1")
    assert shop.destroy_stack("shop", cleanup_directory=True) == (
        False,
        "docker compose ended with 1 and said: network in use",
    )
    assert file_of(shop).exists()


def test_logs_are_what_compose_prints(shop: StackManager, docker: ScriptedDocker) -> None:
    docker.behave("echo one; echo two")
    assert shop.get_service_logs("shop", "web", tail=2) == (True, "one\ntwo\n")
    assert docker.calls[-1].endswith("logs --no-color --no-log-prefix --tail 2 web")


@pytest.mark.parametrize("tail", [0, -1, 10_001, True, "5", 1.5])
def test_the_number_of_lines_is_bounded(shop: StackManager, tail: int) -> None:
    done, said = shop.get_service_logs("shop", "web", tail=tail)
    assert (done, said) == (False, f"tail is a number of lines from 1 to 10,000, not {tail!r}")


@pytest.mark.parametrize("service", ["", "--follow", "a b", "x" * 129, None, 7])
def test_a_service_cannot_be_an_option(shop: StackManager, docker: ScriptedDocker, service: str) -> None:
    asked = len(docker.calls)
    done, said = shop.get_service_logs("shop", service)
    assert not done
    assert said.startswith("a service's name is 1 to 128 letters")
    assert len(docker.calls) == asked


@pytest.mark.parametrize("as_list", [False, True])
def test_a_status_says_what_runs_in_either_dialect(
    shop: StackManager, docker: ScriptedDocker, *, as_list: bool
) -> None:
    docker.behave("""echo '[{"Service":"web","State":"running"}]'""" if as_list else PS_LINES)
    known, status = shop.get_stack_status("shop")
    assert known
    assert (status["stack_name"], status["project"]) == ("shop", "shop")
    assert status["status"] == ("running" if as_list else "degraded")
    if not as_list:
        assert status["services"][1] == {
            "service": "job", "container": "shop-job-1", "state": "exited", "health": "", "exit_code": 3,
        }  # fmt: skip
        assert status["details"] == "web: running\njob: exited"


def test_a_stack_of_which_nothing_runs_is_stopped(shop: StackManager) -> None:
    assert shop.get_stack_status("shop")[1]["status"] == "stopped"


def test_asking_for_a_mistyped_name_creates_nothing(shop: StackManager) -> None:
    sentence = f"there is no stack 'shpo' in {shop.stacks_dir}; there are: shop"
    assert shop.get_stack_status("shpo") == (False, {"error": sentence})
    assert shop.get_service_logs("shpo", "web") == (False, sentence)
    assert shop.destroy_stack("shpo", cleanup_directory=True) == (False, sentence)
    assert [folder.name for folder in shop.stacks_dir.iterdir()] == ["shop"]


def test_running_stacks_are_found_under_any_project(shop: StackManager, docker: ScriptedDocker) -> None:
    rows = (
        f'[{{"Name":"blue","Status":"running(2)","ConfigFiles":"/else/where.yml,{file_of(shop)}"}},'
        '{"Name":"foreign","Status":"running(1)","ConfigFiles":"/srv/docker-compose.yml"}]'
    )
    docker.behave(f"echo '{rows}'")
    path = file_of(shop)
    assert shop.get_running_stacks() == [
        {
            "name": "shop", "project": "blue", "path": str(path.parent), "compose_file": str(path),
            "status": "running(2)",
        }
    ]  # fmt: skip


def test_before_the_first_deployment_nothing_runs(manager: StackManager, docker: ScriptedDocker) -> None:
    assert manager.get_running_stacks() == []
    assert docker.calls == []


def test_a_list_that_cannot_be_had_is_empty_and_says_why_in_the_log(
    shop: StackManager, docker: ScriptedDocker, caplog: pytest.LogCaptureFixture
) -> None:
    docker.behave("echo 'Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?' >&2; exit 1")
    assert shop.get_running_stacks() == []
    assert "Docker's daemon does not answer; start it" in caplog.text


# ------------------------------------------------------------------------------------------------- bad input

NAMES = ["", " ", ".", "..", "../up", "a/b", "/etc", "a\\b", "-x", "Shop", "a\n", "x" * 64, "ą", "a\0", None, 5]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_refused(manager: StackManager, docker: ScriptedDocker, name: str) -> None:
    for done, said in (
        manager.deploy_stack(FILE, name),
        manager.destroy_stack(name, cleanup_directory=True),
        manager.get_service_logs(name, "web"),
    ):
        assert not done
        assert said.startswith("a stack's name is 1 to 63 of a-z, 0-9")
    assert not manager.get_stack_status(name)[0]
    assert docker.calls == []
    assert not manager.workspace_root.exists()


def test_a_project_with_a_bad_name_is_refused(manager: StackManager) -> None:
    assert manager.deploy_stack(FILE, "shop", "Not A Project")[1].startswith("a project's name is 1 to 63 of a-z")


def test_a_folder_that_is_a_link_is_refused(manager: StackManager, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    manager.stacks_dir.mkdir(parents=True)
    (manager.stacks_dir / "shop").symlink_to(outside)
    done, said = manager.deploy_stack(FILE, "shop")
    assert not done
    assert said.endswith("is a symbolic link; a stack has a folder of its own")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "compose_content is the text of a compose file, not ''"),
        (None, "compose_content is the text of a compose file, not None"),
        (b"services: {}", "compose_content is the text of a compose file, not b'services: {}'"),
        ("a: \ud800", "compose_content holds half a character, which no file can carry"),
        ("#" * (COMPOSE_BYTES_MAX + 1), "compose_content has 1,048,577 bytes; at most 1,048,576 are allowed"),
    ],
    ids=["empty", "none", "bytes", "surrogate", "big"],
)
def test_what_cannot_be_a_compose_file_is_refused(manager: StackManager, content: str, sentence: str) -> None:
    assert manager.deploy_stack(content, "shop") == (False, sentence)
    assert not manager.workspace_root.exists()


def test_a_file_that_compose_refuses_changes_nothing(shop: StackManager, docker: ScriptedDocker) -> None:
    docker.behave("exit 0", config="echo 'yaml: line 1: did not find expected node content' >&2; exit 15")
    for name in ("shop", "new"):
        assert shop.deploy_stack("a: [", name) == (
            False,
            "docker compose ended with 15 and said: yaml: line 1: did not find expected node content",
        )
    assert file_of(shop).read_text() == FILE
    assert [path.name for path in sorted(shop.stacks_dir.rglob("*"))] == ["shop", "docker-compose.yml", "project"]


def test_a_project_file_somebody_spoiled_is_a_sentence(shop: StackManager) -> None:
    (file_of(shop).parent / "project").write_bytes(b"\xff\xfe not a name")
    assert shop.get_stack_status("shop")[1]["error"].startswith("a project's name is")
    (file_of(shop).parent / "project").unlink()
    assert shop.get_stack_status("shop")[0]


def test_a_workspace_that_cannot_be_written_is_a_sentence(tmp_path: Path, docker: ScriptedDocker) -> None:
    (tmp_path / "file").write_text("")
    done, said = StackManager(tmp_path / "file").deploy_stack(FILE, "shop")
    assert (done, said) == (False, f"{tmp_path / 'file' / 'stacks' / 'shop'}: Not a directory")


def test_wrong_settings_are_a_sentence(tmp_path: Path, docker: ScriptedDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_MAX_RETRY", "3")
    done, said = StackManager(tmp_path / "work").deploy_stack(FILE, "shop")
    assert (done, said) == (False, "There is no setting HIVE_MAX_RETRY; did you mean HIVE_MAX_RETRIES?")
    assert docker.calls == []


# ------------------------------------------------------------------------------------------- the default stack


def test_the_default_stack_is_the_file_of_the_project() -> None:
    shipped = (ROOT / "venom_core" / "infrastructure" / "docker-compose.yml").read_bytes()
    assert shipped == (ROOT / "docker-compose.yml").read_bytes()


def test_the_password_reaches_compose_by_the_environment_alone(
    manager: StackManager, docker: ScriptedDocker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    done, said = manager.deploy_default_hive_stack()
    assert done
    assert said.endswith("Its store listens on 127.0.0.1:6379 and wants your REDIS_PASSWORD.")
    assert docker.password == PASSWORD
    assert docker.calls[-1].endswith("--project-name venom-hive up --detach --remove-orphans redis-dev")
    written = [path.read_text() for path in manager.workspace_root.rglob("*") if path.is_file()]
    assert not any(PASSWORD in text for text in [said, caplog.text, *docker.calls, *written])


def test_the_default_stack_says_which_password_to_set(
    tmp_path: Path, docker: ScriptedDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = StackManager(tmp_path / "work")
    assert manager.deploy_default_hive_stack() == (
        False,
        "the default stack needs a password for its store; set REDIS_PASSWORD in the environment or in .env",
    )
    assert docker.calls == []
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    monkeypatch.setenv("REDIS_PORT", "6390")
    assert "127.0.0.1:6390" in manager.deploy_default_hive_stack()[1]


def test_what_was_deployed_with_the_password_of_a_file_can_be_looked_at_and_ended(
    tmp_path: Path, docker: ScriptedDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("REDIS_PASSWORD=from-the-file\n")
    manager = StackManager(tmp_path / "work")
    assert manager.deploy_default_hive_stack()[0]
    for deed in (manager.get_stack_status, manager.destroy_stack):
        docker.behave("exit 0")
        assert deed("venom-hive")[0]
        assert docker.password == "from-the-file"


@pytest.mark.parametrize("password", ['a"b', "a\\b", "a\nb"])
def test_a_password_that_the_compose_file_cannot_carry_is_refused(
    tmp_path: Path, docker: ScriptedDocker, password: str
) -> None:
    manager = StackManager(tmp_path / "work", settings=Settings.load(redis_password=password))
    done, said = manager.deploy_default_hive_stack()
    assert (done, said) == (
        False,
        'REDIS_PASSWORD holds ", \\ or a control character, which the store cannot be given',
    )
    assert docker.calls == []


@pytest.mark.parametrize("told", ["exit 0", "exit 1"])
def test_what_docker_says_of_the_password_is_masked(
    shop: StackManager, docker: ScriptedDocker, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    docker.behave(f'echo "it is $REDIS_PASSWORD or s3cret%20%26%20quoted%20%27twice%27"; {told}')
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    _, said = shop.get_service_logs("shop", "web")
    assert "it is *** or ***" in said
    docker.behave("""printf '{"Service":"%s","State":"running"}' "$REDIS_PASSWORD" """)
    assert shop.get_stack_status("shop")[1]["services"][0]["service"] == "***"


def test_what_docker_says_of_any_other_secret_is_masked(tmp_path: Path, docker: ScriptedDocker) -> None:
    secret = {
        "hive_llm_api_key": "hidden-key",
        "nexus_shared_token": "hidden-token".ljust(32, "x"),
        "nexus_shared_token_previous": "hidden-token".ljust(40, "x"),
        "redis_url": "redis://:hidden-pass@h",
    }
    manager = StackManager(tmp_path / "work", settings=Settings.load(redis_password=PASSWORD, **secret))
    assert manager.deploy_stack(FILE, "shop")[0]
    docker.behave(f"echo 'said: {' '.join(secret.values())}'")
    assert "said: *** *** *** redis://:***@h" in manager.get_service_logs("shop", "web")[1]


def test_a_look_at_a_stack_needs_no_password_but_a_deployment_is_given_none(
    shop: StackManager, docker: ScriptedDocker
) -> None:
    poor = StackManager(shop.workspace_root, settings=Settings.load())
    assert poor.get_stack_status("shop")[0]
    assert docker.password == "not-needed"
    assert poor.deploy_stack(FILE, "shop")[0]
    assert docker.password == ""
