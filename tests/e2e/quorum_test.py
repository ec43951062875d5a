"""Three officers of whom two are needed: every operation goes through a plan file, from init to receipts. What one alone, a
technician or a disabled officer tries gets nothing. One officer's key is in a PKCS#11 token of its own."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from ferry import Ferry, fresh, sums_agree

MORE_OFFICERS = 4
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"


class QuorumFerry(Ferry):
    def __init__(self, folder, programs):
        super().__init__(folder, programs)
        self.officer_store = self.folder / "officer-token"
        self.hooks["SOFTHSM2_CONF"] = str(self.make_token())

    def make_token(self):
        """A SoftHSM token that stands for an officer's smart card; its PIN is the officers' passphrase here."""
        store = self.officer_store / "tokens"
        store.mkdir(parents=True)
        conf = self.officer_store / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {store}\nobjectstore.backend = file\nlog.level = ERROR\n")
        pin = (self.secrets / "officer-passphrase").read_text().strip()
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "smith", "--so-pin", "87654321", "--pin", pin],
                       env=dict(os.environ, SOFTHSM2_CONF=str(conf)), check=True, capture_output=True)
        return conf

    def key(self, name):
        if name == "o2":
            return f"pkcs11:token=smith;object=officer?module-path={SOFTHSM}"
        return str(self.folder / f"{name}.pem")

    def card(self, name, role="officer"):
        out = self.folder / f"{name}.card"
        done = self.run(["keyferry-appliance", "--json", "officer", "request", "--officer-key", self.key(name), "--name",
                         f"Person {name}", "--role", role, "--out", out],
                        secret_fds=[("--officer-passphrase-fd", "officer-passphrase")])
        return out, json.loads(done.stdout)["fingerprint"]

    def as_officer(self, name, *arguments, **options):
        return self.officer("--json", "--officer-key", self.key(name), *arguments, **options)

    def planned(self, *arguments):
        """A command that may only write its plan: the plan file."""
        done = self.as_officer("o1", *arguments, expect=MORE_OFFICERS)
        written = json.loads(done.stdout)
        assert written["schema"] == "keyferry.plan-written.v1", written
        return pathlib.Path(written["file"])

    def by_two(self, plan, *more, names=("o1", "o2")):
        for name in names:
            self.as_officer(name, "plan", "approve", plan)
        return json.loads(self.appliance("--json", "plan", "run", plan, *more).stdout)

    def leaves(self):
        text = self.appliance("log", "show").stdout
        return text.splitlines()


def set_up(ferry):
    cards = [ferry.card(name)[0] for name in ("o1", "o2", "o3")] + [ferry.card("tech", "technician")[0]]
    arguments = [x for card in cards for x in ("--officer-card", card)]
    done = json.loads(ferry.appliance("--json", "init", "--name", "test", "--pin-file", ferry.secrets / "hsm-pin",
                                      "--insecure-allow", "network,swap,memlock", "--officers-needed", 2, *arguments).stdout)
    assert (done["officers"], done["officers_needed"]) == (3, 2), done
    ferry.appliance_words = done["fingerprint"]


def test_one_officer_gets_nothing(ferry):
    before = len(ferry.leaves())
    plan = ferry.planned("source", "add", "room")
    assert len(ferry.leaves()) == before, "a plan that was only written is no act"
    run = ferry.appliance("plan", "run", plan, expect=MORE_OFFICERS)
    assert "no officer has approved" in run.stderr, run.stderr
    ferry.as_officer("o1", "plan", "approve", plan)
    again = json.loads(ferry.as_officer("o1", "plan", "approve", plan).stdout)
    assert again["approvals"]["given"] == 1 and again["approvals"]["needed"] == 2, again
    run = ferry.appliance("plan", "run", plan, expect=MORE_OFFICERS)
    assert "1 of 2 officers" in run.stderr and "hint:" in run.stderr, run.stderr
    assert "refused" in ferry.leaves()[-1]
    wrong = ferry.officer("--officer-key", ferry.key("tech"), "plan", "approve", plan, expect=1)
    assert "may not approve" in wrong.stderr, wrong.stderr
    checked = json.loads(ferry.appliance("--json", "plan", "check", plan).stdout)
    assert checked["approvals"]["officers"] == [1], checked
    ferry.as_officer("o2", "plan", "approve", plan)
    ferry.appliance("plan", "run", plan)
    assert "plan.run" in "".join(ferry.leaves()[-2:])
    assert "already" in ferry.appliance("plan", "run", plan).stdout


def test_the_way_of_a_key(ferry):
    made = ferry.by_two(ferry.planned("ca", "create", "ca", "--subject", "CN=Test CA,O=Test"))
    assert pathlib.Path(made["certificate"]).exists(), made
    ferry.by_two(ferry.planned("transport-master", "create", "m"), names=("o2", "o3"))
    ferry.make_chips(4)
    plan = ferry.planned("se", "import", ferry.inventory, "--source", "room")
    ferry.inventory.write_text("what the officers approved is kept elsewhere\n")
    assert ferry.by_two(plan)["rows"] == 4
    ferry.station("init", "--name", "line-1", "--site", "site-1")
    words = ferry.station_json("enroll", "--to", ferry.token)["fingerprint"]
    ferry.by_two(ferry.planned("station", "enroll", ferry.token, "--fingerprint", words))
    ferry.appliance("station", "enroll", ferry.token, "--fingerprint", words)  # writes the answer that is kept
    ferry.station("enroll", "--from", ferry.token, "--fingerprint", ferry.appliance_words)

    ferry.new_plan(4)
    checked = json.loads(ferry.appliance("--json", "plan", "check", ferry.plan_file).stdout)
    assert checked["ok"] and checked["approvals"]["given"] == 0, checked
    ferry.as_officer("o1", "plan", "approve", ferry.plan_file)
    ferry.appliance("plan", "run", ferry.plan_file, expect=MORE_OFFICERS)
    batch = ferry.by_two(ferry.plan_file, names=("o3",))["batch"]
    checked = ferry.appliance("plan", "check", ferry.plan_file, expect={0, 1})
    assert "records a second" in checked.stdout, checked.stdout
    return batch


def test_suspension(ferry, batch):
    ferry.as_officer("o3", "batch", "suspend", batch, "--reason", "look")  # one officer is enough
    refused = ferry.export(batch, expect=1)
    assert "is suspended" in refused.stderr, refused.stderr
    ferry.by_two(ferry.planned("batch", "resume", batch, "--reason", "looked"))
    ferry.export(batch)
    ferry.load()
    ferry.run_lanes()
    ferry.unload()
    ferry.receipts()
    done = ferry.reconcile(batch)["batches"][0]
    assert sums_agree(done) and done["injected"] == 4, done


def test_people_change(ferry):
    refused = ferry.as_officer("o1", "officer", "disable", 3, "--reason", "left", expect=MORE_OFFICERS)
    plan = json.loads(refused.stdout)["file"]
    for name in ("o1", "o2"):
        ferry.as_officer(name, "plan", "approve", plan)
    refused = ferry.appliance("plan", "run", plan, expect=1)
    assert "highest rule needs 3" in refused.stderr, refused.stderr
    card, words = ferry.card("o4")
    wrong = ferry.as_officer("o1", "officer", "add", card, "--fingerprint", ferry.appliance_words, expect=1)
    assert "not those of this card" in wrong.stderr, wrong.stderr
    added = ferry.by_two(ferry.planned("officer", "add", card, "--fingerprint", words), names=("o1", "o2", "o3"))
    assert added["number"] == 5, added
    pending = ferry.planned("transport-master", "create", "m2")
    ferry.as_officer("o3", "plan", "approve", pending)
    names = {p["number"]: p["name"] for p in json.loads(ferry.appliance("--json", "officer", "list").stdout)["persons"]}
    assert names[5] == "Person o4" and names[1] == "Person o1", names
    disable = json.loads(ferry.as_officer("o1", "--plan-out", ferry.folder / "disable.toml", "officer", "disable", 3, "--reason",
                                          "left").stdout)["file"]
    again = json.loads(ferry.as_officer("o1", "--plan-out", disable, "officer", "disable", 3, "--reason", "left").stdout)
    assert again["file"] == disable, again
    other = ferry.as_officer("o1", "--plan-out", disable, "officer", "disable", 2, "--reason", "left", expect=1)
    assert "is another plan" in other.stderr, other.stderr
    ferry.by_two(disable)
    void = ferry.planned("transport-master", "create", "m2")
    disabled = ferry.officer("--officer-key", ferry.key("o3"), "plan", "approve", void, expect=1)
    assert "may not approve" in disabled.stderr, disabled.stderr
    ferry.by_two(void, names=("o1", "o4"))
    ferry.appliance("officer", "forget", 3)
    names = {p["number"]: p["name"] for p in json.loads(ferry.appliance("--json", "officer", "list").stdout)["persons"]}
    assert names[3] == "" and b"Person o3" not in (ferry.home / "ledger.db").read_bytes()


def test_policy(ferry):
    shown = json.loads(ferry.appliance("--json", "policy", "show").stdout)
    rules = {rule["operation"]: rule["officers_needed"] for rule in shown["rules"]}
    assert rules["batch"] == 2 and rules["batch-suspend"] == 1 and rules["policy-change"] == 3, rules
    weak = ferry.as_officer("o1", "policy", "change", "--rule", "policy-change=1", "--reason", "quicker", expect=1)
    assert "never needs fewer than a batch" in weak.stderr, weak.stderr
    change = ferry.planned("policy", "change", "--rule", "batch-close=3", "--rule", "clock-set=0", "--reason", "stricter")
    ferry.by_two(change, names=("o1", "o2", "o4"))
    rules = {rule["operation"]: rule["officers_needed"]
             for rule in json.loads(ferry.appliance("--json", "policy", "show").stdout)["rules"]}
    assert rules["batch-close"] == 3 and rules["clock-set"] == 0, rules


def main():
    with tempfile.TemporaryDirectory(prefix="keyferry-quorum-") as folder:
        ferry = QuorumFerry(fresh(pathlib.Path(folder) / "ferry"), sys.argv[1])
        set_up(ferry)
        test_one_officer_gets_nothing(ferry)
        batch = test_the_way_of_a_key(ferry)
        test_suspension(ferry, batch)
        test_people_change(ferry)
        test_policy(ferry)
    print("quorum: ok")


if __name__ == "__main__":
    main()
