"""A small OIDC issuer that means it: discovery, keys, sign-in with PKCE, and tokens on demand."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

__all__ = ["CLIENT", "Issuer"]

CLIENT = "driftline-page"


class Issuer:
    """Everybody who comes to sign in is mara, until `refusing` says why not."""

    def __init__(self, *, secret: str = ""):
        self.key = RSAKey.generate_key(2048, {"kid": "k1"}, private=True)
        self.roles = ["operator"]
        self.refusing = ""
        # What the ID token claims otherwise than it should.
        self.lies = {}
        self._secret = secret
        self._codes = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                address = urlsplit(self.path)
                if address.path == "/authorize":
                    self.send_response(302)
                    self.send_header("Location", issuer.sign_in({k: v[0] for k, v in parse_qs(address.query).items()}))
                    self.end_headers()
                    return
                body = issuer.answer(address.path)
                self._answer(200 if body is not None else 404, body)

            def do_POST(self):
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                asked = {name: values[0] for name, values in form.items()}
                self._answer(*issuer.trade(asked, self.headers.get("authorization", "")))

            def _answer(self, status, body):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path):
        match path:
            case "/.well-known/openid-configuration":
                endpoints = {"authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
                return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **endpoints}
            case "/keys":
                return {"keys": [self.key.as_dict(private=False)]}
        return None

    def sign_in(self, asked):
        """Return where the browser goes from here: back, with a code or with a refusal."""
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        told = {"state": asked["state"]}
        if self.refusing:
            told["error"] = self.refusing
        else:
            told["code"] = secrets.token_urlsafe(8)
            self._codes[told["code"]] = asked
        return f"{asked['redirect_uri']}?{urlencode(told)}"

    def trade(self, asked, authorization):
        """Answer a code with tokens, once, and only to whom it was made for."""
        begun = self._codes.pop(asked["code"], None)
        if self._secret:
            expected = base64.b64encode(f"{CLIENT}:{self._secret}".encode()).decode()
            if authorization != f"Basic {expected}":
                return 401, {"error": "invalid_client"}
        shown = base64url(hashlib.sha256(asked["code_verifier"].encode()).digest()).decode()
        if begun is None or begun["code_challenge"] != shown or begun["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        claims = {"aud": CLIENT, "nonce": begun["nonce"], "roles": self.roles, **self.lies}
        return 200, {"id_token": self.token(**claims), "access_token": "opaque", "token_type": "Bearer"}

    def token(self, *, key=None, alg="RS256", kid="k1", **claims):
        told = self._claims() | claims
        return jwt.encode({"alg": alg, "kid": kid}, told, key or self.key, algorithms=[alg])

    def token_by_secret(self, secret):
        """Forge a token: with a shared secret, or with no signature at all."""
        alg = "none" if secret is None else "HS256"
        body = b".".join(base64url(json.dumps(part).encode()) for part in ({"alg": alg, "kid": "k1"}, self._claims()))
        signature = b"" if secret is None else hmac.digest(secret, body, "sha256")
        return (body + b"." + base64url(signature)).decode()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _claims(self):
        claims = {"iss": self.url, "aud": "driftline", "sub": "u1", "email": "mara@plant.example", "roles": self.roles}
        return {**claims, "exp": int(time.time()) + 60}


def base64url(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=")
