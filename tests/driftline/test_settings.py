"""Settings: what counts, and what stops the program at once."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from driftline.settings import load
from driftline.stack.compose import compose_file
from driftline.typed_values import SettingError, UnknownSettingError
from schemas.errors import DriftlineError
from trust.keys import PIN_VARIABLE

SSL = "[kafka]\nsecurity.protocol = 'SSL'\n"
HOME = {"HOME": "/home/ada"}


@dataclass(frozen=True)
class Endpoints:
    bootstrap: str = "127.0.0.1:19092"
    registry_url: str = "http://127.0.0.1:18081/apis/ccompat/v7"
    redis_url: str = "redis://127.0.0.1:16379/0"


def settings(tmp_path, *, toml="", environ=None, options=None, running=None):
    if toml:
        (tmp_path / "driftline.toml").write_text(toml, encoding="utf-8")
    return load(HOME | (environ or {}), folder=tmp_path, options=options, running=lambda _data: running)


def test_nothing_needs_to_be_set(tmp_path):
    found = settings(tmp_path)

    assert found.bootstrap == "127.0.0.1:9092"
    assert found.registry == "http://127.0.0.1:8081"
    assert found.prefix == ""
    assert found.data == Path("/home/ada/.local/state/driftline")
    assert found.cache == Path("/home/ada/.cache/driftline")
    assert found.sources["bootstrap"] == "default"


def test_each_source_gives_way_to_the_one_before_it(tmp_path):
    running = Endpoints()
    toml = 'bootstrap = "file:1"'
    environ = {"DRIFTLINE_BOOTSTRAP": "environment:1"}
    options = {"bootstrap": "option:1"}

    assert settings(tmp_path, running=running).bootstrap == "127.0.0.1:19092"
    assert settings(tmp_path, running=running, toml=toml).bootstrap == "file:1"
    assert settings(tmp_path, running=running, toml=toml, environ=environ).bootstrap == "environment:1"
    assert settings(tmp_path, running=running, toml=toml, environ=environ, options=options).bootstrap == "option:1"


@pytest.mark.parametrize("said", [{"DRIFTLINE_BOOTSTRAP": "prod:9092"}, {"DRIFTLINE_REGISTRY": "http://prod:8081"}])
def test_one_clusters_brokers_are_never_joined_with_the_local_registry(tmp_path, said):
    found = settings(tmp_path, environ=said, running=Endpoints())

    assert "19092" not in found.bootstrap
    assert "18081" not in found.registry
    assert found.redis == "redis://127.0.0.1:16379/0"


def test_the_stack_is_looked_for_in_the_data_folder_that_was_named(tmp_path):
    asked = []

    load(HOME | {"DRIFTLINE_DATA": "here"}, folder=tmp_path, running=asked.append)

    assert asked == [tmp_path / "here"]


def test_an_option_that_was_not_given_and_an_empty_variable_count_for_nothing(tmp_path):
    found = settings(tmp_path, environ={"DRIFTLINE_PREFIX": ""}, options={"prefix": None}, toml='prefix = "plant7-"')

    assert found.prefix == "plant7-"


def test_a_file_may_begin_with_the_mark_of_an_editor(tmp_path):
    assert settings(tmp_path, toml='\ufeffprefix = "plain-"').prefix == "plain-"


def test_a_file_may_be_named(tmp_path):
    (tmp_path / "other.toml").write_text('prefix = "other-"')

    assert settings(tmp_path, environ={"DRIFTLINE_CONFIG": "other.toml"}, toml='prefix = "plain-"').prefix == "other-"


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        ("", {"DRIFTLINE_BOOTSTAP": "x:1"}, "unknown setting 'DRIFTLINE_BOOTSTAP' in the environment; did you mean"),
        ('bootstap = "x:1"', {}, "did you mean 'bootstrap'?"),
        ("[gatewy]", {}, "did you mean 'gateway'?"),
        ("[kafka]\nsasl.pasword = 'x'", {}, "did you mean 'kafka.sasl.password'?"),
        ("", {"DRIFTLINE_KAFKA_SASL_PASWORD": "x"}, "did you mean 'kafka.sasl.password'?"),
        ("[kafka]\nbootstrap.servers = 'x'", {}, "unknown setting 'kafka.bootstrap.servers'"),
    ],
)  # fmt: skip
def test_a_slip_of_the_pen_is_answered_with_what_was_meant(tmp_path, toml, environ, message):
    with pytest.raises(UnknownSettingError) as refused:
        settings(tmp_path, toml=toml, environ=environ)

    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        ("", {"DRIFTLINE_BOOTSTRAP": "kafka"}, "bootstrap is 'kafka', wanted host:port, or several"),
        ("", {"DRIFTLINE_BOOTSTRAP": "kafka:70000"}, "bootstrap is 'kafka:70000', wanted host:port"),
        ("", {"DRIFTLINE_REGISTRY": "registry:8081"}, "registry is 'registry:8081', wanted an address such as http://"),
        ("", {"DRIFTLINE_REDIS": "http://x"}, "redis is 'http://x', wanted an address such as redis://"),
        ("", {"DRIFTLINE_PREFIX": "plant 7"}, "prefix is 'plant 7', wanted at most 64 letters"),
        ("prefix = 7", {}, "prefix is 7, wanted a text"),
        ("gateway = 7", {}, "gateway is 7, wanted a table"),
        ("[prefix]", {}, "prefix is {}, wanted a text"),
        ("prefix =", {}, "wanted TOML"),
        ("", {"DRIFTLINE_CONFIG": "none.toml"}, "DRIFTLINE_CONFIG is 'none.toml', wanted a file that exists"),
        ("[kafka]\nsecurity.protocol = 'TLS'", {}, "kafka.security.protocol is 'TLS', wanted one of PLAINTEXT, SSL"),
        ("[kafka]\nsasl.username = 'x'", {}, "kafka.security.protocol is not set, wanted SASL_SSL or SASL_PLAINTEXT"),
        (SSL + "ssl.ca.location = '/none'", {}, "kafka.ssl.ca.location is '/none', wanted a file that exists"),
        (SSL + "ssl.key.password.file = '/none'", {}, "kafka.ssl.key.password.file is '/none', wanted a file"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_what_was_found_and_wanted(tmp_path, toml, environ, message):
    with pytest.raises(SettingError) as refused:
        settings(tmp_path, toml=toml, environ=environ)

    assert message in str(refused.value)


@pytest.mark.parametrize("variable", [PIN_VARIABLE, *re.findall(r"DRIFTLINE_\w+", compose_file().read_text())])
def test_a_variable_for_the_signer_or_for_compose_is_no_slip_of_the_pen(tmp_path, variable):
    assert settings(tmp_path, environ={variable: "1234"}) == settings(tmp_path)


def test_an_error_says_where_the_value_was_set(tmp_path):
    with pytest.raises(SettingError) as refused:
        settings(tmp_path, environ={"DRIFTLINE_PREFIX": "a b"})

    assert refused.value.hint == "it was set in the environment, DRIFTLINE_PREFIX"
    assert refused.value.key == "prefix"


def test_security_comes_under_librdkafkas_names(tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    toml = f"[kafka]\nsecurity.protocol = 'sasl_ssl'\nsasl.password.file = '{tmp_path / 'password'}'"

    found = settings(tmp_path, toml=toml, environ={"DRIFTLINE_KAFKA_SASL_USERNAME": "ada"})

    assert found.cluster().client_settings() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "sasl.password": "hunter2",
        "sasl.username": "ada",
    }


def test_secrets_are_in_no_text(tmp_path):
    found = settings(
        tmp_path,
        toml="[kafka]\nsecurity.protocol = 'SASL_SSL'\nsasl.username = 'ada'\nsasl.password = 'hunter2'",
        environ={
            "DRIFTLINE_REDIS": "redis://ada:hunter2@127.0.0.1:1/0",
            "DRIFTLINE_REGISTRY": "http://ada:hunter2@r:1",
        },
    )

    assert "hunter2" in str(found.kafka)
    assert "hunter2" not in repr(found) + str(found) + str(found.shown()) + repr(found.cluster())


def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path):
    with pytest.raises(SettingError) as refused:
        settings(tmp_path, toml="[kafka]\nsecurity.protocol = 'SASL_SSL'\nsasl.password = 31337")

    assert "31337" not in str(refused.value)
    assert "kafka.sasl.password is (not shown), wanted a text" in str(refused.value)


def test_the_registrys_password_leaves_its_address(tmp_path):
    cluster = settings(tmp_path, environ={"DRIFTLINE_REGISTRY": "https://ada:hunter%402@r:8081/api/"}).cluster()

    assert cluster.registry_url == "https://r:8081/api"
    assert cluster.registry_security == {"basic.auth.user.info": "ada:hunter@2"}


@pytest.mark.parametrize("address", ["http://ada:hunter2@", "ftp://ada:hunter2@r:1"])
def test_a_password_in_a_bad_address_is_not_shown(tmp_path, address):
    with pytest.raises(SettingError) as refused:
        settings(tmp_path, environ={"DRIFTLINE_REGISTRY": address})

    assert "hunter2" not in str(refused.value)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class SpoolConfig:
    path: Path
    max_bytes: int = 1024

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError("max_bytes has to be at least 1")


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    device_id: str
    spool: SpoolConfig
    every_s: float = 1.0
    quiet: bool = False
    tags: tuple[str, ...] = ()
    colour: Colour = Colour.RED
    port: int | None = None


WHOLE = '[gateway]\ndevice_id = "gw-1"\ntags = ["a", "b"]\ncolour = "blue"\n[gateway.spool]\npath = "/var/spool"\n'


def test_a_rooms_own_settings_fill_its_dataclass(tmp_path):
    found = settings(tmp_path, toml=WHOLE).section("gateway", GatewayConfig)

    assert found == GatewayConfig(
        device_id="gw-1", spool=SpoolConfig(path=Path("/var/spool")), tags=("a", "b"), colour=Colour.BLUE
    )


def test_a_variable_wins_over_the_file_and_is_understood_by_its_type(tmp_path):
    environ = {
        "DRIFTLINE_GATEWAY_DEVICE_ID": "gw-2",
        "DRIFTLINE_GATEWAY_SPOOL_MAX_BYTES": "77",
        "DRIFTLINE_GATEWAY_EVERY_S": "0.5",
        "DRIFTLINE_GATEWAY_QUIET": "yes",
        "DRIFTLINE_GATEWAY_TAGS": "x, y",
        "DRIFTLINE_GATEWAY_PORT": "80",
    }

    found = settings(tmp_path, toml=WHOLE, environ=environ).section("gateway", GatewayConfig)

    assert (found.device_id, found.spool.max_bytes, found.every_s) == ("gw-2", 77, 0.5)
    assert (found.quiet, found.tags, found.port) == (True, ("x", "y"), 80)


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        (WHOLE, {"DRIFTLINE_GATEWAY_PORT": "eighty"}, "gateway.port is 'eighty', wanted a whole number"),
        (WHOLE, {"DRIFTLINE_GATEWAY_QUIET": "perhaps"}, "gateway.quiet is 'perhaps', wanted true or false"),
        (WHOLE, {"DRIFTLINE_GATEWAY_COLOUR": "green"}, "gateway.colour is 'green', wanted one of red, blue"),
        (WHOLE, {"DRIFTLINE_GATEWAY_SPOOL_MAXBYTES": "1"}, "did you mean 'DRIFTLINE_GATEWAY_SPOOL_MAX_BYTES'?"),
        (WHOLE + "max_byte = 3", {}, "did you mean 'gateway.spool.max_bytes'?"),
        (WHOLE + "max_bytes = 1.5", {}, "gateway.spool.max_bytes is 1.5, wanted a whole number"),
        (WHOLE + "max_bytes = true", {}, "gateway.spool.max_bytes is True, wanted a whole number"),
        (WHOLE + "max_bytes = 0", {}, "gateway.spool: max_bytes has to be at least 1"),
        ("[gateway]\ndevice_id = 'x'", {}, "gateway.spool.path is not set, wanted a value (a path)"),
    ],
)  # fmt: skip
def test_a_rooms_bad_setting_is_named(tmp_path, toml, environ, message):
    with pytest.raises(DriftlineError) as refused:
        settings(tmp_path, toml=toml, environ=environ).section("gateway", GatewayConfig)

    assert message in str(refused.value)
