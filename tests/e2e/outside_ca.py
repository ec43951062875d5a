"""`openssl ca` as the outside CA: a root and an issuing CA of its own, which never sees the appliance."""
import pathlib
import ssl
import subprocess

CONFIG = """
[ca]
default_ca = issuing
[issuing]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}/new
certificate = {folder}/issuing.pem
private_key = {folder}/issuing.key
rand_serial = yes
default_md = sha256
default_days = 365
default_crl_days = 30
crlnumber = {folder}/crlnumber
policy = any
unique_subject = no
x509_extensions = device
[any]
commonName = optional
organizationName = optional
[reversed]
organizationName = optional
commonName = optional
[short]
commonName = optional
[device]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[is_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[bare]
basicConstraints = critical,CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(map(str, arguments))[:300]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


class OpensslCa:
    def __init__(self, folder, name="Outside Issuing CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.config = self.folder / "ca.conf"
        self.config.write_text(CONFIG.format(folder=self.folder))
        self.make_key("root.key")
        self.make_key("issuing.key")
        openssl("req", "-x509", "-new", "-key", self.folder / "root.key", "-subj", "/O=Outside/CN=Outside Root", "-days", 7300,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.folder / "root.pem")
        openssl("req", "-new", "-key", self.folder / "issuing.key", "-subj", f"/O=Outside/CN={name}", "-out",
                self.folder / "issuing.csr")
        (self.folder / "issuing.ext").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nsubjectKeyIdentifier=hash\n"
                                                 "authorityKeyIdentifier=keyid\nkeyUsage=critical,keyCertSign,cRLSign\n")
        openssl("x509", "-req", "-in", self.folder / "issuing.csr", "-CA", self.folder / "root.pem", "-CAkey",
                self.folder / "root.key", "-days", 3650, "-extfile", self.folder / "issuing.ext", "-out",
                self.folder / "issuing.pem")
        self.chain = self.folder / "chain.pem"
        self.chain.write_text((self.folder / "issuing.pem").read_text() + (self.folder / "root.pem").read_text())
        (self.folder / "index.txt").write_text("")
        (self.folder / "new").mkdir()
        (self.folder / "crlnumber").write_text("01\n")

    def make_key(self, name):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.folder / name)
        return self.folder / name

    def sign(self, requests, *more, extensions="device"):
        """Certificates in PEM, in the order of the requests."""
        requests = list(requests)
        (self.folder / "index.txt").write_text("")  # a CA that forgets: it may give two for one request
        openssl("ca", "-config", self.config, "-batch", "-notext", "-extensions", extensions, *more, "-infiles", *requests)
        issued = [line.split("\t")[3] for line in (self.folder / "index.txt").read_text().splitlines()]
        certificates = [(self.folder / "new" / f"{serial}.pem").read_text() for serial in issued]
        assert len(certificates) == len(requests), f"{len(certificates)} certificates for {len(requests)} requests"
        return certificates

    def revoke(self, certificates, reason="keyCompromise"):
        """Of those that the last sign() gave."""
        for certificate in certificates:
            (self.folder / "revoked.pem").write_text(certificate)
            openssl("ca", "-config", self.config, "-revoke", self.folder / "revoked.pem", "-crl_reason", reason)

    def crl(self, out, *more):
        """PEM."""
        openssl("ca", "-config", self.config, "-gencrl", "-out", out, *more)
        return out

    def pkcs7(self, certificates, out, form="DER"):
        bundle = self.folder / "for-pkcs7.pem"
        bundle.write_text("".join(certificates))
        openssl("crl2pkcs7", "-nocrl", "-certfile", bundle, "-certfile", self.chain, "-outform", form, "-out", out)


def der(pem):
    return ssl.PEM_cert_to_DER_cert(pem)
