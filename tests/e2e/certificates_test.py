#!/usr/bin/env python3
"""CAs under CAs, a PAI whose PAA is elsewhere, Matter DACs: what openssl and gnutls say of every certificate, and what is
refused before a key is made."""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import cases
from cases import FerryCase, flipped, rows

KEYS = 6
DAC = """template = "matter-dac"
subject = "CN=ACME Lock {device_serial}"
vendor_id = "FFF1"
product_id = "8000"
"""


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, **options).stdout


class OutsidePaa:
    """A PAA (or root) that stands elsewhere: `openssl ca`."""

    def __init__(self, folder, subject="/CN=ACME PAA/1.3.6.1.4.1.37244.2.1=FFF1"):
        self.folder = folder
        folder.mkdir()
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1001\n")
        (folder / "ca.cnf").write_text(f"""
oid_section = oids
[oids]
vid = 1.3.6.1.4.1.37244.2.1
pid = 1.3.6.1.4.1.37244.2.2
[req]
distinguished_name = dn
string_mask = utf8only
[dn]
[ca]
default_ca = it
[it]
dir = {folder}
database = $dir/index.txt
new_certs_dir = $dir
serial = $dir/serial
private_key = $dir/key.pem
certificate = $dir/paa.pem
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
vid = optional
pid = optional
[root]
basicConstraints = critical,CA:TRUE,pathlen:1
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[pai]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[long]
basicConstraints = critical,CA:TRUE,pathlen:3
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
""")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "key.pem")
        self.request("root", folder / "key.pem", subject, folder / "root.csr")
        openssl("ca", "-config", folder / "ca.cnf", "-batch", "-notext", "-selfsign", "-in", folder / "root.csr", "-extensions", "root",
                "-startdate", "20200101000000Z", "-enddate", "20600101000000Z", "-out", folder / "paa.pem")

    def request(self, name, key, subject, out):
        openssl("req", "-new", "-key", key, "-subj", subject, "-config", self.folder / "ca.cnf", "-out", out)

    def issue(self, csr, out, kind="pai", end="20500101000000Z", subject=()):
        openssl("ca", "-config", self.folder / "ca.cnf", "-batch", "-notext", "-preserveDN", "-in", csr, "-extensions", kind,
                "-startdate", "20210101000000Z", "-enddate", end, "-out", out, *subject)
        return out

    def chain(self, certificate, out):
        out.write_text(pathlib.Path(certificate).read_text() + (self.folder / "paa.pem").read_text())
        return out


class Certificates(FerryCase):
    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.make_chips(KEYS)
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.put_aside("ready")

    def setUp(self):
        self.put_back("ready")
        self.template = self.ferry.folder / "dac.toml"
        self.template.write_text(DAC)

    # --- steps --------------------------------------------------------------------------------------------------------

    def ca(self, name, *options, expect=0):
        return self.ferry.officer("ca", "create", name, *options, expect=expect)

    def matter_cas(self, paa_options=("--vid", "FFF1")):
        self.ca("paa", "--template", "matter-paa", "--subject", "CN=ACME PAA", *paa_options)
        self.ca("pai", "--template", "matter-pai", "--issuer", "paa", "--vid", "FFF1", "--subject", "CN=ACME PAI")

    def request(self, name="pai", *options):
        out = self.ferry.folder / "out"
        out.mkdir(exist_ok=True)
        self.ferry.officer("ca", "request", name, "--template", "matter-pai", "--vid", "FFF1", "--subject", "CN=ACME PAI", "--to", out,
                           *options)
        return out / f"{name}.csr.pem"

    def declaration(self, vector="declaration-1", name="cd.der"):
        """The public example for vendor FFF1, product 8000; "signer": the certificate of who signed it."""
        vectors = (pathlib.Path(__file__).parents[1] / "vectors" / "matter" / "declarations.vec").read_text()
        path = self.ferry.folder / name
        lines = re.search(r"^NAME = .*\n(?:NAME \+ .*\n)*".replace("NAME", vector), vectors, re.MULTILINE).group(0)
        path.write_bytes(bytes.fromhex("".join(line.split()[-1] for line in lines.splitlines())))
        return path

    def new_plan(self, ca, *options, expect=0, count=KEYS):
        self.ferry.plan_file.unlink(missing_ok=True)
        return self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", ca, "--count", count, "--segment-size", 4, "--out",
                                    self.ferry.plan_file, *options, expect=expect)

    def ship(self):
        """Plan in hand to receipts."""
        self.ferry.approve()
        batch = json.loads(self.ferry.run_plan().stdout)["batch"]
        self.ferry.export(batch)
        self.ferry.load()
        self.ferry.run_lanes()
        self.ferry.unload()
        self.ferry.receipts()
        reconciled = self.ferry.reconcile()["batches"][0]
        self.assertEqual(reconciled["injected"], KEYS)
        return batch

    def exported(self, batch):
        folder = self.ferry.folder / "certs"
        folder.mkdir()
        self.ferry.appliance("batch", "certificates", batch, "--to", folder)
        return folder

    def assert_accepted_outside(self, folder):
        """All of them: openssl's strict path check, and gnutls's."""
        leafs = sorted(folder.glob("record-*.pem"))
        self.assertEqual(len(leafs), KEYS)
        chain = (folder / "ca.pem").read_text()
        anchor = folder / "anchor.txt"
        anchor.write_text("-----BEGIN" + chain.split("-----BEGIN")[-1])
        verified = openssl("verify", "-x509_strict", "-CAfile", anchor, "-untrusted", folder / "ca.pem", *leafs)
        self.assertEqual(verified.count(": OK"), KEYS)
        for leaf in leafs:
            done = subprocess.run(["certtool", "--verify-chain"], input=leaf.read_text() + chain, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("Verified. The certificate is trusted.", done.stdout)
        return leafs

    def assert_no_key(self, name):
        labels = [one["label"] for one in self.ferry.appliance_json("hsm", "inventory", expect=None)["objects"]]
        self.assertNotIn(f"kf-ca/{name}", labels)

    # --- accepted -----------------------------------------------------------------------------------------------------

    def test_matter_dacs_are_accepted_by_openssl_and_gnutls_and_our_own_lint(self):
        self.matter_cas()
        self.new_plan("pai", "--template", self.template)
        shown = self.ferry.appliance("plan", "show", self.ferry.plan_file).stdout
        self.assertIn("vendor id FFF1, product id 8000", shown)
        folder = self.exported(self.ship())
        leafs = self.assert_accepted_outside(folder)
        for leaf in leafs:
            text = openssl("x509", "-in", leaf, "-noout", "-subject", "-nameopt", "RFC2253,show_type")
            self.assertIn("UTF8STRING", text)
            self.assertRegex(text, r"1\.3\.6\.1\.4\.1\.37244\.2\.1")
            self.assertLessEqual(self.der_size(leaf), 600)
        for leaf in leafs:
            linted = json.loads(self.ferry.run(["keyferry-audit", "--json", "cert", "lint", leaf, folder / "ca.pem"]).stdout)
            self.assertEqual(linted["findings"], [])
            self.assertIn("matter-dac", json.dumps(linted))

    def der_size(self, pem):
        return len(subprocess.run(["openssl", "x509", "-in", pem, "-outform", "DER"], check=True, capture_output=True).stdout)

    def test_a_chain_of_four_reaches_the_se_and_its_anchor(self):
        self.ca("root", "--subject", "CN=ACME Root", "--path-length", "2")
        self.ca("policy", "--template", "intermediate", "--issuer", "root", "--path-length", "1", "--subject", "CN=ACME Policy CA")
        self.ca("line", "--template", "intermediate", "--issuer", "policy", "--subject", "CN=ACME Line CA")
        self.new_plan("line")
        folder = self.exported(self.ship())
        self.assertEqual((folder / "ca.pem").read_text().count("BEGIN CERTIFICATE"), 3)
        self.assert_accepted_outside(folder)
        self.assert_clear(self.ca("deeper", "--template", "intermediate", "--issuer", "line", "--subject", "CN=ACME Deeper",
                                  expect=None), "CAs")
        self.assert_no_key("deeper")

    def test_an_intermediate_is_revoked_by_the_ca_above_it_and_nothing_below_is_issued_any_more(self):
        self.ca("root", "--subject", "CN=ACME Root", "--path-length", "2")
        self.ca("policy", "--template", "intermediate", "--issuer", "root", "--path-length", "1", "--subject", "CN=ACME Policy CA")
        self.ca("line", "--template", "intermediate", "--issuer", "policy", "--subject", "CN=ACME Line CA")
        self.new_plan("line", count=4)
        self.ferry.approve()
        folder = self.exported(json.loads(self.ferry.run_plan().stdout)["batch"])
        [root] = [self.ferry.home / "ca" / "root.pem"] if (self.ferry.home / "ca" / "root.pem").exists() else [
            path for path in self.ferry.home.rglob("root.pem")]
        leaf = folder / "record-0000000.pem"
        self.new_plan("line", count=1)  # approved before the revocation, run after it
        self.ferry.approve()
        revoke = ("ca", "revoke", "policy", "--crl-reason", "cACompromise", "--reason", "key copied", "--confirm", "policy")
        self.assert_clear(self.ferry.officer(*revoke[:4], "keyCompromise", *revoke[5:], expect=None), "cACompromise", status=2)
        self.assert_clear(self.ferry.officer("ca", "revoke", "root", *revoke[3:-1], "root", expect=None), "is a root")
        self.assert_clear(self.ferry.officer(*revoke[:-1], "line", expect=None), "nothing was done")
        said = json.loads(self.ferry.officer("--json", *revoke).stdout)
        self.assertEqual((said["issuer"], said["done_before"]), ("root", False))
        self.assertTrue(json.loads(self.ferry.officer("--json", *revoke).stdout)["done_before"])
        self.assertIn("ca.revoked", self.log())
        states = {one["name"]: one["state"] for one in self.ferry.appliance_json("ca", "list")["authorities"]}
        self.assertEqual(states, {"root": "issues", "policy": "revoked", "line": "issues"})

        # Nothing more is issued below it: neither what is planned now nor what was approved before, and no CA.
        checked = self.ferry.appliance("plan", "check", self.ferry.plan_file, expect=None)
        self.assertIn("stands below kf-ca/policy, whose certificate is revoked", checked.stdout + checked.stderr)
        self.assertNotEqual(self.ferry.run_plan(expect=None).returncode, 0)
        self.assert_clear(self.new_plan("line", count=1, expect=None), "stands below kf-ca/policy, whose certificate is revoked")
        self.assert_clear(self.ca("more", "--template", "intermediate", "--issuer", "policy", "--subject", "CN=More", expect=None), "revoked")
        self.assert_no_key("more")

        # On the root's CRL; openssl looks at the whole path.
        due = self.ferry.appliance_json("crl", "due")
        self.assertEqual([(one["authority"], one["state"], one["reason"], one["count"]) for one in due["by"]],
                         [("root", "ca", "cACompromise", 1)])
        listed = self.ferry.folder / "due.csv"
        self.ferry.appliance("crl", "due", "--ca", "root", "--list", listed)
        self.assertIn(f",,{said['certificate_serial']},cACompromise,", listed.read_text())
        crls = []
        for name in ("root", "policy", "line"):
            issued = json.loads(self.ferry.officer("--json", "crl", "issue", "--ca", name).stdout)
            self.assertEqual(issued["entries"], 1 if name == "root" else 0)
            crls += ["-CRLfile", issued["pem"]]
        text = openssl("crl", "-in", crls[1], "-noout", "-text", "-CAfile", root)
        self.assertIn("CA Compromise", text)
        self.assertIn(said["certificate_serial"].upper().lstrip("0"), text.replace(":", ""))
        checked = subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", root, *crls, "-untrusted",
                                  folder / "ca.pem", leaf], capture_output=True, text=True)
        self.assertIn("certificate revoked", checked.stderr + checked.stdout)
        self.assertEqual(openssl("verify", "-x509_strict", "-CAfile", root, "-untrusted", folder / "ca.pem", leaf).count(": OK"), 1)
        # The next one has it too, with nothing twice.
        again = json.loads(self.ferry.officer("--json", "crl", "issue", "--ca", "root").stdout)
        self.assertEqual((again["number"], again["entries"]), (2, 1))
        self.assertEqual(self.ferry.appliance_json("crl", "due")["due"], 0)

    def test_a_ca_that_an_outside_one_certified_is_revoked_there(self):
        paa = OutsidePaa(self.ferry.folder / "paa")
        chain = paa.chain(paa.issue(self.request(), self.ferry.folder / "pai.pem"), self.ferry.folder / "chain.pem")
        revoke = ("ca", "revoke", "pai", "--crl-reason", "superseded", "--reason", "x", "--confirm", "pai")
        self.assert_clear(self.ferry.officer(*revoke, expect=None), "has no certificate")
        self.ferry.officer("ca", "install", "pai", "--chain", chain)
        self.assert_clear(self.ferry.officer(*revoke, expect=None), "which is no CA in this HSM", "have it revoke serial 1002")

    def test_a_pai_whose_paa_is_elsewhere_issues_when_its_certificate_is_in(self):
        paa = OutsidePaa(self.ferry.folder / "paa")
        csr = self.request()
        checked = subprocess.run(["openssl", "req", "-in", csr, "-verify", "-noout"], capture_output=True, text=True)
        self.assertIn("verify OK", checked.stderr)
        self.assert_clear(self.new_plan("pai", "--template", self.template, expect=None), "its request is out", "ca install pai")
        [pending] = self.ferry.appliance_json("ca", "list")["authorities"]
        self.assertEqual((pending["name"], pending["state"], pending["subject"]), ("pai", "pending", "CN=ACME PAI"))
        # Given again: the same request, no second key.
        again = self.ferry.folder / "again"
        again.mkdir()
        self.ferry.officer("ca", "request", "pai", "--to", again)
        self.assertEqual((again / "pai.csr.der").read_bytes(), (csr.parent / "pai.csr.der").read_bytes())
        chain = paa.chain(paa.issue(csr, self.ferry.folder / "pai.pem"), self.ferry.folder / "chain.pem")
        self.ferry.officer("ca", "install", "pai", "--chain", chain)
        self.ferry.officer("ca", "install", "pai", "--chain", chain)  # as it was: nothing more is done
        self.new_plan("pai", "--template", self.template)
        folder = self.exported(self.ship())
        self.assert_accepted_outside(folder)
        self.assertEqual(openssl("x509", "-in", paa.folder / "paa.pem"),
                         "-----BEGIN" + (folder / "ca.pem").read_text().split("-----BEGIN")[-1])

    def test_an_outside_ca_is_enrolled_by_its_chain(self):
        paa = OutsidePaa(self.ferry.folder / "outside", subject="/CN=Outside Root")
        key = self.ferry.folder / "issuing.key"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        paa.request("issuing", key, "/CN=Outside Issuing CA", self.ferry.folder / "issuing.csr")
        chain = paa.chain(paa.issue(self.ferry.folder / "issuing.csr", self.ferry.folder / "issuing.pem"), self.ferry.folder / "chain.pem")
        parts = chain.read_text().split("-----BEGIN")
        backwards = self.ferry.folder / "backwards.pem"
        backwards.write_text("-----BEGIN" + parts[2] + "-----BEGIN" + parts[1])
        self.assert_clear(self.ferry.officer("ca", "import", "ejbca", "--chain", backwards, expect=None), "chain", "issuing CA first")
        alone = self.ferry.folder / "alone.pem"
        alone.write_text("-----BEGIN" + parts[1])
        self.assert_clear(self.ferry.officer("ca", "import", "ejbca", "--chain", alone, expect=None), "no anchor")
        done = json.loads(self.ferry.officer("--json", "ca", "import", "ejbca", "--chain", chain).stdout)
        self.assertTrue(done["outside"])
        self.assertEqual(done["chain_length"], 2)
        self.assert_no_key("ejbca")
        self.ferry.officer("ca", "import", "ejbca", "--chain", chain)
        self.assert_clear(self.ferry.officer("crl", "issue", "--ca", "ejbca", expect=None), "ejbca")

    def test_a_certification_declaration_is_bound_by_the_plan_and_goes_out_with_the_certificates(self):
        self.matter_cas()
        declaration = self.declaration()
        self.template.write_text(DAC.replace("8000", "8001"))
        self.assert_clear(self.new_plan("pai", "--template", self.template, "--certification-declaration", declaration, expect=None),
                          "declaration", "8001")
        self.template.write_text(DAC)
        broken = self.ferry.folder / "broken.der"
        broken.write_bytes(declaration.read_bytes()[:-9])
        self.assert_clear(self.new_plan("pai", "--template", self.template, "--certification-declaration", broken, expect=None), "broken.der")
        self.new_plan("pai", "--template", self.template, "--certification-declaration", declaration)
        digest = hashlib.sha256(declaration.read_bytes()).hexdigest()
        self.assertIn(digest, self.ferry.plan_file.read_text())
        self.assertIn(f"Certification Declaration has SHA-256 {digest}", self.ferry.appliance("plan", "show", self.ferry.plan_file).stdout)
        kept = self.ferry.home / "declarations" / f"{digest}.der"
        with cases.changed(kept, cases.flipped(kept.read_bytes(), 40)):
            check = self.ferry.appliance_json("plan", "check", self.ferry.plan_file, expect=1)
            self.assertIn("declaration-missing", [one["reason"] for one in check["refusals"]])
        self.assertIn("Its signature is not checked", self.ferry.appliance("plan", "show", self.ferry.plan_file).stdout)
        batch = self.ship()
        folder = self.exported(batch)
        self.assertEqual((folder / "certification-declaration.der").read_bytes(), declaration.read_bytes())
        self.assertFalse((folder / "declaration-signer.der").exists())
        shown = self.ferry.station("declaration", batch).stdout
        self.assertIn(f"SHA-256 {digest}", shown)
        self.assertIn("signature not checked", shown)
        self.assertIn(digest, self.ferry.station("status").stdout)

    def test_a_certification_declaration_and_its_signer_reach_the_station(self):
        self.matter_cas()
        self.template.write_text(DAC)
        declaration, signer = self.declaration(), self.declaration("signer", "csa.der")
        self.assert_clear(self.new_plan("pai", "--template", self.template, "--declaration-signer", signer, expect=None), status=2)
        stranger = pathlib.Path(__file__).parents[1] / "vectors" / "matter" / "old-paa.pem"
        self.assert_clear(self.new_plan("pai", "--template", self.template, "--certification-declaration", declaration,
                                        "--declaration-signer", stranger, expect=None), "cd.der", "is not that of the signer's certificate")
        damaged = self.ferry.folder / "damaged.der"
        damaged.write_bytes(flipped(declaration.read_bytes(), -1))
        self.assert_clear(self.new_plan("pai", "--template", self.template, "--certification-declaration", damaged, "--declaration-signer",
                                        signer, expect=None), "damaged.der", "is not signed by")
        self.new_plan("pai", "--template", self.template, "--certification-declaration", declaration, "--declaration-signer", signer)
        named = hashlib.sha256(signer.read_bytes()).hexdigest()
        self.assertIn(f"Its signature is checked with the signer's certificate that has SHA-256 {named}",
                      self.ferry.appliance("plan", "show", self.ferry.plan_file).stdout)
        batch = self.ship()
        out = self.ferry.folder / "for-the-firmware.der"
        shown = self.ferry.station_json("declaration", batch, "--to", out)
        self.assertEqual(out.read_bytes(), declaration.read_bytes())
        self.assertEqual(shown["sha256"], hashlib.sha256(declaration.read_bytes()).hexdigest())
        self.assertEqual((shown["vendor_id"], shown["product_ids"], shown["signature_checked"], shown["signer_sha256"]),
                         ("FFF1", ["8000"], True, named))
        self.assert_clear(self.ferry.station("declaration", batch, "--to", out, expect=None), "for-the-firmware.der")
        self.assert_clear(self.ferry.station("declaration", "00" * 16, expect=None), "no batch", "status")
        folder = self.exported(batch)
        self.assertEqual((folder / "declaration-signer.der").read_bytes(), signer.read_bytes())
        done = self.ferry.run(["keyferry-audit", "cert", "declaration", folder / "certification-declaration.der", "--signer",
                               folder / "declaration-signer.der"])
        self.assertNotIn("not verified", done.stdout)

    # --- refused ------------------------------------------------------------------------------------------------------

    def test_a_pai_of_another_vendor_or_a_longer_life_than_its_paa_is_refused_before_a_key_is_made(self):
        self.ca("paa", "--template", "matter-paa", "--vid", "FFF1", "--subject", "CN=ACME PAA", "--not-after", "2040-01-01")
        self.assert_clear(self.ca("other", "--template", "matter-pai", "--issuer", "paa", "--vid", "FFF2", "--subject", "CN=Other PAI",
                                  expect=None), "FFF2", "FFF1")
        self.assert_clear(self.ca("long", "--template", "matter-pai", "--issuer", "paa", "--vid", "FFF1", "--subject", "CN=Long PAI",
                                  "--not-after", "2041-01-01", expect=None), "2041-01-01", "2040-01-01")
        self.assert_clear(self.ca("sub", "--template", "intermediate", "--issuer", "paa", "--subject", "CN=Sub", expect=None), "PAA")
        for name in ("other", "long", "sub"):
            self.assert_no_key(name)

    def test_certificates_that_end_after_their_pai_or_are_of_another_vendor_are_refused(self):
        self.matter_cas()
        self.new_plan("pai", "--template", self.template, "--not-after", "2099-01-01T00:00:00Z")
        check = self.ferry.appliance_json("plan", "check", self.ferry.plan_file, expect=1)
        self.assertIn("validity", [one["reason"] for one in check["refusals"]])
        self.template.write_text(DAC.replace("FFF1", "FFF2"))
        self.new_plan("pai", "--template", self.template)
        check = self.ferry.appliance_json("plan", "check", self.ferry.plan_file, expect=1)
        self.assertIn("matter-vendor", [one["reason"] for one in check["refusals"]])
        self.assert_clear(self.ferry.approve(expect=None), "FFF2")

    def test_a_certificate_that_does_not_answer_the_request_is_not_installed(self):
        paa = OutsidePaa(self.ferry.folder / "paa")
        csr = self.request()
        folder = self.ferry.folder
        key = folder / "other.key"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        paa.request("other", key, "/CN=ACME PAI/1.3.6.1.4.1.37244.2.1=FFF1", folder / "other.csr")
        wrong = {
            "another key": (paa.issue(folder / "other.csr", folder / "other.pem"), "another key"),
            "path length": (paa.issue(csr, folder / "long.pem", kind="long"), "path length"),
            "no CA": (paa.issue(csr, folder / "leaf.pem", kind="leaf"), "CA"),
            "subject": (paa.issue(csr, folder / "subject.pem", subject=("-subj", "/CN=Somebody Else/1.3.6.1.4.1.37244.2.1=FFF1")), "CN="),
        }
        for name, (certificate, word) in wrong.items():
            with self.subTest(name):
                chain = paa.chain(certificate, folder / "wrong.pem")
                self.assert_clear(self.ferry.officer("ca", "install", "pai", "--chain", chain, expect=None), word)
                self.assertTrue(json.loads(self.ferry.officer("--json", "ca", "request", "pai").stdout)["pending"])
        other = OutsidePaa(folder / "other-paa", subject="/CN=Other PAA/1.3.6.1.4.1.37244.2.1=FFF2")
        chain = other.chain(other.issue(csr, folder / "vendor.pem"), folder / "wrong.pem")
        self.assert_clear(self.ferry.officer("ca", "install", "pai", "--chain", chain, expect=None), "FFF2")
        # Another PAA's certificate above it: the signature does not verify.
        good = paa.issue(csr, folder / "good.pem")
        mixed = folder / "mixed.pem"
        mixed.write_text(good.read_text() + (other.folder / "paa.pem").read_text())
        self.assert_clear(self.ferry.officer("ca", "install", "pai", "--chain", mixed, expect=None), "chain")

    def test_a_template_that_is_wrong_makes_no_plan(self):
        self.matter_cas()
        for change, words in ((lambda t: t + 'colour = "red"\n', ("colour",)),
                              (lambda t: t.replace("8000", "80"), ("product_id",)),
                              (lambda t: t.replace("matter-dac", "matter-doc"), ("matter-doc",)),
                              (lambda t: t.replace("{device_serial}", "all the same"), ("subject",)),
                              (lambda t: "template = [\n", ("dac.toml",))):
            self.template.write_text(change(DAC))
            with self.subTest(words):
                self.assert_clear(self.new_plan("pai", "--template", self.template, expect=None), *words)
                self.assertFalse(self.ferry.plan_file.exists())

    def test_a_template_changed_in_the_plan_is_not_read(self):
        self.matter_cas()
        self.new_plan("pai", "--template", self.template)
        text = self.ferry.plan_file.read_text()
        for pattern, replacement in ((r'^product_id = "8000"', 'product_id = "8001"\nproduct_id = "8000"'),
                                     (r'^vendor_id = "FFF1"\n', 'vendor_id = "fff1"\n'),
                                     (r"^\[certificate\]\n", "[certificate]\n# as it was\n"),
                                     (r'^certificate_template = "matter-dac"', 'certificate_template = "device"')):
            edited, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            self.assertEqual(count, 1, pattern)
            self.ferry.plan_file.write_text(edited)
            self.assertNotEqual(self.ferry.approve(expect=None).returncode, 0, replacement)

    def test_a_certificate_that_no_se_holds_is_refused_at_plan_time(self):
        self.ca("ca", "--subject", "CN=ACME CA")
        extensions = ",\n".join('  {{ oid = "1.3.6.1.4.1.99999.{}", value = "0482{:04x}{}" }}'.format(i, 1000, "5a" * 1000)
                                for i in range(5))
        self.template.write_text(f'template = "custom"\nsubject = "CN={{device_serial}}"\nextensions = [\n{extensions},\n]\n')
        self.new_plan("ca", "--template", self.template)
        check = self.ferry.appliance_json("plan", "check", self.ferry.plan_file, expect=1)
        self.assertIn("certificate-size", [one["reason"] for one in check["refusals"]])
        self.assert_clear(self.ferry.approve(expect=None), "octets")
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM record"), [(0,)])

    def test_a_request_that_is_cut_off_is_finished_by_the_same_command(self):
        out = self.ferry.folder / "out"
        out.mkdir()
        arguments = ("ca", "request", "pai", "--template", "matter-pai", "--vid", "FFF1", "--subject", "CN=ACME PAI", "--to", out)
        self.put_aside("before-request")
        for cut in ("worker.key.made", "worker.ca.certified", "gate.plan.key-made", "front.ca-request.written"):
            with self.subTest(cut):
                shutil.rmtree(self.ferry.folder)
                shutil.copytree(self.root / "before-request", self.ferry.folder, symlinks=True)
                self.ferry.hooks["KEYFERRY_CUT"] = f"{cut}:1"
                self.assertNotEqual(self.ferry.officer(*arguments, expect=None).returncode, 0)
                self.ferry.hooks.clear()
                self.ferry.officer(*arguments)
                labels = [one["label"] for one in self.ferry.appliance_json("hsm", "inventory")["objects"]]
                self.assertEqual(labels.count("kf-ca/pai"), 2)  # both halves, once
                key = openssl("req", "-in", out / "pai.csr.pem", "-noout", "-pubkey")
                self.assertIn("PUBLIC KEY", key)
        shutil.rmtree(self.root / "before-request")


if __name__ == "__main__":
    cases.main()
