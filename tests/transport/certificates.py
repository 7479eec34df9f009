"""Certificates for the tests, made by the openssl command, with what Python 3.13 insists on."""

import subprocess


class Authority:
    def __init__(self, folder, name):
        self.certificate, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        openssl(
            "req",
            "-x509",
            "-nodes",
            *KEY,
            "-days",
            "1",
            "-subj",
            f"/CN={name}",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout",
            self._key,
            "-out",
            self.certificate,
        )
        self._folder = folder

    def certify(self, name, alternative):
        """Certificate and key for a subject with the alternative name, such as IP:127.0.0.1."""
        certificate, key, request = (self._folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        openssl("req", "-nodes", "-new", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nauthorityKeyIdentifier=keyid\n")
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
            "-days", "1", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
