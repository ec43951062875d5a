#!/usr/bin/env python3
"""Modules that are other than they say, or other than SoftHSM: each works from init to a sealed batch, or is refused with
an explanation before the first device key is made."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from shimmed import CRASH_WORDS, History, Shimmed, classes_of  # noqa: E402  (also the path to cases)
import cases  # noqa: E402
from opened import check_opened  # noqa: E402
from cases import FerryCase, main  # noqa: E402

COUNT = 6
SEGMENT_SIZE = 4

# What such a module is refused for: words of the explanation.
REFUSED = {
    "derived-readable": ("derived",),
    "wrap-trusted-only": ("trusted",),
    "kwp-none": ("RFC 5649",),
    "no-mechanism 0x1104": ("CKM_AES_ECB_ENCRYPT_DATA",),  # kf-kdf-1
    "no-mechanism 0x1041": ("the module",),  # CKM_ECDSA; an appliance that has keys notices when kf-log signs
}

# With these everything works, from the first key on.
WORKS = ("ec-point raw", "kwp-number 0x210B", "ignore-allowed-mechanisms", "sp800-108", "ec-point raw\nkwp-number 0x210B\nsp800-108")


class ShimCase(FerryCase):
    @classmethod
    def new_ferry(cls, name):
        return Shimmed(cls.root / name, cases.programs)

    def assert_refused(self, done, words):
        said = done.stdout + done.stderr
        self.assertIn(done.returncode, (1, 3), said)
        for word in CRASH_WORDS:
            self.assertNotIn(word, said)
        for word in words:
            self.assertIn(word, said)
        self.assertIn("hint:", said)


class ModulesThatWork(ShimCase):
    def check(self, lie):
        ferry = self.new_ferry(f"works-{WORKS.index(lie)}")
        ferry.script(lie + "\n")
        ferry.set_up_factory(1, of=COUNT)
        batch = ferry.batch(COUNT, SEGMENT_SIZE, lot="L0")
        History(ferry).check_batch(batch, COUNT, SEGMENT_SIZE)
        check_opened(self, ferry, batch, COUNT, sample=COUNT)

    def test_the_whole_way_under_each_lie(self):
        for lie in WORKS:
            with self.subTest(lie):
                self.check(lie)

    def test_a_master_for_sp_800_108_where_the_module_has_it(self):
        ferry = self.new_ferry("kdf-2")
        ferry.script("sp800-108\n")
        ferry.init_and_note_words()
        ferry.officer("transport-master", "create", "m", "--kdf", "kf-kdf-2")
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("source", "add", "room")
        ferry.import_lots(0, 1, COUNT)
        ferry.enroll()
        History(ferry).check_batch(ferry.batch(COUNT, SEGMENT_SIZE, lot="L0"), COUNT, SEGMENT_SIZE)


class ModulesThatAreRefused(ShimCase):
    @classmethod
    def prepare(cls):
        cls.ferry = cls.new_ferry("appliance")
        cls.ferry.set_up_factory(len(REFUSED), of=COUNT)
        cls.history = History(cls.ferry)

    def device_keys(self, mark):
        """Device keys that were made since `watching` began; the probe's own have a label."""
        return sum(int(line.split()[1]) for path in self.root.glob(f"{mark}.*") for line in path.read_text().splitlines()
                   if line.split()[0] == "device-key")

    def test_a_module_that_changed_after_init_makes_no_key(self):
        for number, (lie, words) in enumerate(REFUSED.items()):
            with self.subTest(lie):
                ferry = self.ferry
                ferry.script("")
                ferry.plan_file.unlink(missing_ok=True)
                ferry.new_plan(COUNT, SEGMENT_SIZE, lot=f"L{number}")
                ferry.approve()
                mark = f"count-{number}"
                ferry.script(f"{lie}\ncount {self.root / mark}\nwatch C_GenerateKeyPair label= name=device-key\n")
                self.assert_refused(ferry.run_plan(expect=None), words)
                self.assertEqual(self.device_keys(mark), 0)
                ferry.script("")
                self.history.check_batch(json.loads(ferry.run_plan().stdout)["batch"], COUNT, SEGMENT_SIZE)

    def test_the_doctor_names_what_is_missing(self):
        self.addCleanup(self.ferry.script, "")
        self.ferry.script("wrap-trusted-only\n")
        done = self.ferry.appliance("doctor", expect=1)
        self.assertIn("trusted", done.stdout + done.stderr)

    def test_init_refuses_such_a_module_before_it_makes_any_key(self):
        for number, (lie, words) in enumerate(REFUSED.items()):
            with self.subTest(lie):
                ferry = self.new_ferry(f"init-{number}")
                ferry.script(lie + "\n")
                self.assert_refused(ferry.init(expect=None), words)
                self.assertEqual(classes_of(ferry.hsm), {})

    def test_kf_kdf_2_is_refused_where_the_module_does_not_have_it(self):
        self.ferry.script("")
        done = self.ferry.officer("transport-master", "create", "other", "--kdf", "kf-kdf-2", expect=None)
        self.assert_refused(done, ("kf-kdf-2",))


if __name__ == "__main__":
    main()
