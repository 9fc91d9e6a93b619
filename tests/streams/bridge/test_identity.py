"""Who a certificate says that a device is."""

import pytest

from streams.bridge import IdentityError
from streams.bridge.identity import device_of


def named(*names, uris=()):
    subject = tuple((("commonName", name),) for name in names)
    return {"subject": subject, "subjectAltName": tuple(("URI", uri) for uri in uris)}


def test_the_common_name_is_the_device():
    assert device_of(named("press-7")) == "press-7"


def test_a_uri_says_it_in_full_and_goes_before_the_common_name():
    assert device_of(named("x", uris=["urn:driftline:device:press%207"])) == "press 7"


def test_uris_of_others_name_no_device():
    assert device_of(named("press-7", uris=["spiffe://plant/press-9"])) == "press-7"


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        pytest.param(None, "no client certificate", id="none at all"),
        pytest.param({}, "no client certificate", id="an empty one"),
        pytest.param({"subject": ()}, "names 0 devices", id="no name"),
        pytest.param(named("a", "b"), "names 2 devices", id="two common names"),
        pytest.param(named("a", uris=["urn:driftline:device:a", "urn:driftline:device:b"]), "2 devices", id="two URIs"),
        pytest.param(named(""), "names ''", id="an empty name"),
        pytest.param(named("a/b"), "names 'a/b'", id="a slash"),
        pytest.param(named("x", uris=["urn:driftline:device:" + "a" * 201]), "1 to 200", id="too long"),
    ],
)
def test_a_certificate_that_names_no_one_device_is_refused(certificate, says):
    with pytest.raises(IdentityError, match=says):
        device_of(certificate)
