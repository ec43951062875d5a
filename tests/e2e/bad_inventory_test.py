#!/usr/bin/env python3
"""Inventory files that are not as they must be: refused with the line, nothing taken in; and those that only look so."""
import cases
from cases import FerryCase, rows

HEADER = "family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data\n"
SERIAL = "30313233343536373839616263646566"  # the pkcs11 serial 0123456789abcdef


def row(serial=SERIAL, family="pkcs11", part="P1", lot="L1", key_name="dac", device="", transport="derived:m", data=""):
    return ",".join((family, serial, part, lot, key_name, device, transport, data)) + "\n"


class Inventory(FerryCase):
    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.enroll()
        cls.put_aside("empty")

    def setUp(self):
        self.put_back("empty")
        self.file = self.ferry.folder / "inventory.csv"

    def take(self, text, source="room", **options):
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.ferry.officer("se", "import", self.file, "--source", source, **options)

    def assert_taken(self, text, count):
        self.take(text)
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM inventory"), [(count,)])

    def assert_refused(self, text, *words, source="room"):
        before, leaves = cases.dump(self.ledger, cases.APPLIANCE_NOTES), self.log().count("refused what=se-import")
        done = self.take(text, source, expect=None)
        self.assert_clear(done, *words)
        self.assertEqual(cases.dump(self.ledger, cases.APPLIANCE_NOTES), before)
        self.assertEqual(self.log().count("refused what=se-import"), leaves + 1)

    def test_a_row_that_stands_twice_in_the_file_is_refused_with_both_lines(self):
        self.assert_refused(HEADER + row() + row(serial="31" * 16) + row(), "inventory.csv:4", "line 2 already")

    def test_a_row_that_is_in_the_inventory_already_is_refused_with_its_source(self):
        self.ferry.officer("source", "add", "other")
        self.assert_taken(HEADER + row(), 1)
        self.assert_refused(HEADER + row(serial="31" * 16) + row(lot="L2"), "inventory.csv:3", 'source "room"', source="other")

    def test_the_same_file_again_changes_nothing(self):
        self.assert_taken(HEADER + row(), 1)
        before = cases.dump(self.ledger)
        self.assertIn("already", self.take(HEADER + row()).stdout)
        self.assertEqual(cases.dump(self.ledger), before)

    def test_another_key_name_of_the_same_se_is_another_row(self):
        self.assert_taken(HEADER + row() + row(key_name="spare"), 2)

    def test_an_empty_key_name_is_dac(self):
        self.assert_refused(HEADER + row() + row(key_name=""), "inventory.csv:3", "line 2 already")

    def test_serials_that_differ_only_behind_octet_eleven_do_not_collide(self):
        self.assert_taken(HEADER + row(serial=SERIAL[:-2] + "66") + row(serial=SERIAL[:-2] + "67") + row(serial=SERIAL[:-4]), 3)

    def test_trailing_blanks_do_not_make_another_serial(self):
        self.assert_refused(HEADER + row(serial="3031") + row(serial="30312020"), "inventory.csv:3", "already")

    def test_an_unknown_family_is_refused(self):
        self.assert_refused(HEADER + row(family="abacus"), '"abacus" is no family')

    def test_a_family_that_comes_later_is_refused_as_such(self):
        for family in ("optiga-trust-m", "tpm2"):
            with self.subTest(family):
                self.assert_refused(HEADER + row(family=family, serial="0123456789abcdef01"), family)

    def test_a_master_of_one_family_is_refused_for_another(self):
        self.assert_refused(HEADER + row(family="atecc608", serial="0123456789abcdef01"), 'master "m" was made for family pkcs11')

    def test_a_transport_kind_that_comes_later_is_refused_as_such(self):
        self.assert_refused(HEADER + row(transport="public"), "not supported yet")

    def test_an_unknown_vendor_key_is_refused(self):
        self.assert_refused(HEADER + row(transport="delivered:acme"), 'no vendor key "acme"')

    def test_bad_hex_is_refused(self):
        for serial in ("3g", "303", "", "0x30", " 30"):
            with self.subTest(serial):
                self.assert_refused(HEADER + row(serial=serial), "inventory.csv:2 (se_serial)", "not hex")

    def test_an_unknown_master_or_source_is_refused(self):
        self.assert_refused(HEADER + row(transport="derived:m9"), 'no transport-key master "m9"')
        self.assert_refused(HEADER + row(), 'no source "nobody"', source="nobody")

    def test_code_in_a_field_is_refused_and_never_repeated_as_code(self):
        for device in ("<script>alert(1)</script>", "=cmd()", "+1", "@x", "\x1b[31mred\x1b[0m", "a\rb", "\u202etxt", "caf\u00e9", "-x"):
            with self.subTest(device):
                self.assert_refused(HEADER + row(device=f'"{device}"'), "device_serial")

    def test_code_in_a_file_name_or_source_does_not_reach_the_terminal(self):
        self.file = self.ferry.folder / "\x1b[31mred.csv"
        self.assert_refused(HEADER + row(family="abacus"), "no family")
        self.assert_refused(HEADER + row(), "no source", source="\x1b[31mred")

    def test_windows_lines_a_byte_order_mark_and_quotes_are_taken(self):
        text = "\ufeff" + HEADER + '"pkcs11","' + SERIAL + '","P1","L1","dac","","derived:m",""\n' + row(serial="31" * 16)
        self.assert_taken(text.replace("\n", "\r\n"), 2)

    def test_columns_in_another_order_are_taken(self):
        names = HEADER.strip().split(",")
        values = row().strip().split(",")
        self.assert_taken(",".join(reversed(names)) + "\n" + ",".join(reversed(values)) + "\n", 1)

    def test_a_file_without_rows_or_header_or_with_other_columns_is_refused(self):
        for text in ("", HEADER, "family,colour\n", row(), HEADER + "pkcs11,30\n", HEADER + '"pkcs11\n'):
            with self.subTest(text):
                self.assert_refused(text, "inventory.csv:")

    def test_octets_that_are_no_text_are_refused(self):
        for octets in (b"\xff\xfe" + HEADER.encode("utf-16-le"), HEADER.encode() + b"pkcs11,\xff\xff,,,,,,\n", bytes(100_000),
                       HEADER.encode() + b"a" * 100_000):
            with self.subTest(octets[:8]):
                self.assert_refused(octets, "inventory.csv:")

    def test_one_bad_row_of_many_keeps_all_out_and_only_some_problems_are_listed(self):
        bad = "".join(row(serial="zz") for _ in range(50))
        done = self.take(HEADER + "".join(row(serial=f"{n + 48:02x}") for n in range(16)) + bad, expect=1)
        self.assertIn("50 problems", done.stderr)
        self.assertLess(done.stderr.count("not hex"), 30)
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM se"), [(0,)])

    def test_a_file_that_is_not_there_or_a_link_is_said(self):
        done = self.ferry.officer("se", "import", self.ferry.folder / "nowhere.csv", "--source", "room", expect=None)
        self.assert_clear(done, "nowhere.csv")
        self.file.symlink_to(self.ferry.folder / "plan.toml")
        self.assert_clear(self.ferry.officer("se", "import", self.file, "--source", "room", expect=None), "inventory.csv")

    def test_a_row_that_was_changed_after_approval_stops_the_plan(self):
        self.take(HEADER + row() + row(serial="31" * 16))
        # The subject may not use the device serial: these rows have none.
        plan = self.ferry.new_plan(2, subject="CN={se_serial}")
        self.ferry.approve()
        keys = rows(self.ledger, "SELECT count(*) FROM record")
        for column, value in (("part", "P2"), ("lot", "L9"), ("device_serial", "X1"), ("transport_name", "m2")):
            with self.subTest(column):
                before = rows(self.ledger, f"SELECT {column} FROM se WHERE se_id = 1")[0][0]
                cases.edit(self.ledger, f"UPDATE se SET {column} = ? WHERE se_id = 1", value)
                self.assert_clear(self.ferry.appliance("plan", "check", plan, expect=None), "changed")
                self.assert_clear(self.ferry.run_plan(expect=None), "changed")
                cases.edit(self.ledger, f"UPDATE se SET {column} = ? WHERE se_id = 1", before)
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM record"), keys)
        self.assertIn("refused what=plan-run reason=se-changed", self.log())
        self.ferry.run_plan()


if __name__ == "__main__":
    cases.main()
