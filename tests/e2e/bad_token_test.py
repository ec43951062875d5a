#!/usr/bin/env python3
"""Tokens that are not as they were made: each is refused in a clear sentence, nothing changes, the refusal is noted."""
import copy
import os
import shutil

import cases
from cases import FerryCase, changed, flipped, tool

HEADER, TRAILER = 126, 141  # token/FORMAT.md, section 2
SEALED_CHUNK = 65536 + 16
HEADER_FIELDS = {"magic": 0, "format": 9, "suite": 11, "type": 12, "environment": 13, "container id": 14, "batch": 30,
                 "index": 49, "count": 53, "bound": 61, "sender": 62, "recipient": 94, "end of the header": 125}


def container_places(octets):
    """{what: offset} of the places where a container is hit."""
    end = len(octets) - TRAILER
    return {**HEADER_FIELDS, "body": HEADER, "middle of the body": (HEADER + end) // 2, "last tag": end - 1, "trailer": end,
            "chunk count": end + 11, "form of enc": end + 12, "enc": end + 50, "r": end + 80, "s": end + 140}


class Bench(FerryCase):
    """Two stations of one appliance; SEs that are rows only, for batches that are never injected."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.set_up(4)
        cls.other = copy.copy(ferry)
        cls.other.station_home = ferry.folder / "station-2"
        cls.other.token = ferry.folder / "token-2"
        cls.other.token.mkdir()
        cls.other.station("init", "--name", "line-2", "--site", "site-1")
        words = cls.other.station_json("enroll", "--to", cls.other.token)["fingerprint"]
        ferry.officer("station", "enroll", cls.other.token, "--fingerprint", words)
        cls.other.station("enroll", "--from", cls.other.token, "--fingerprint", ferry.appliance_words)
        rows = ferry.folder / "rows.csv"
        ferry.fake_inventory(rows, 256, lot="L7")
        ferry.officer("se", "import", rows, "--source", "room")
        cls.batch = ferry.batch(4, segment_size=2)
        cls.wide = ferry.batch(256, segment_size=256, path=ferry.folder / "wide.toml", lot="L7")
        cls.empty_token = ferry.folder / "empty-token"
        cls.empty_token.mkdir()

    def sealed_by(self, who, path, naming):
        """The container at `path` with a trailer by `who`: "stranger" or a Ferry whose station signs."""
        out = self.root / "resealed.kf"
        signer = ["stranger"] if who == "stranger" else ["station", who.station_home, who.secrets / "station-pin"]
        tool("reseal", path, out, *signer, naming)
        return out.read_bytes()


class TokensForTheStation(Bench):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.ferry.export(cls.batch)
        cls.wide_token = cls.ferry.folder / "wide-token"
        cls.wide_token.mkdir()
        cls.ferry.export(cls.wide, cls.wide_token)
        cls.put_aside("exported")
        # As far as a token is good it is taken: segments are tried where the manifest is known.
        for segment in cls.ferry.batch_folder(cls.batch).glob("segment-*"):
            segment.unlink()
        for segment in cls.ferry.batch_folder(cls.wide, cls.wide_token).glob("segment-*"):
            segment.unlink()
        cls.ferry.load(expect=1)
        cls.ferry.load(cls.wide_token, expect=1)
        for token, batch in ((cls.ferry.token, cls.batch), (cls.wide_token, cls.wide)):
            for made in sorted((cls.ferry.home / "batches" / batch).glob("segment-*.kf")):
                shutil.copy(made, cls.ferry.batch_folder(batch, token))
        cls.put_aside("manifests-known")

    def setUp(self):
        self.put_back("exported")

    @property
    def manifest(self):
        return self.ferry.batch_folder(self.batch) / "manifest.kf"

    def segment(self, index=0):
        return self.ferry.batch_folder(self.batch) / f"segment-{index:05}.kf"

    @property
    def wide_segment(self):
        return self.ferry.batch_folder(self.wide, self.wide_token) / "segment-00000.kf"

    def assert_refused(self, *words, token=None, ferry=None):
        ferry = ferry or self.ferry
        store = ferry.station_home / "station.db"
        before, noted = cases.dump(store, cases.STATION_NOTES), ferry.station_json("status")["refusals"]
        done = ferry.load(token, expect=None)
        self.assert_clear(done, *words)
        self.assertEqual(cases.dump(store, cases.STATION_NOTES), before)
        self.assertGreater(ferry.station_json("status")["refusals"], noted)

    def assert_segment_refused(self, *words, token=None):
        """A segment alone is refused; the others may be taken. Its records are not there."""
        before = self.refusals()
        done = self.ferry.load(token, expect=None)
        self.assert_clear(done, "refused keyferry/batch/", *words)
        self.assertGreater(self.refusals(), before)

    def test_the_tokens_are_good_as_they_are(self):
        self.ferry.load()
        self.ferry.load(self.wide_token)
        loaded = {batch["batch"]: batch["loaded"] for batch in self.ferry.station_json("status")["batches"]}
        self.assertEqual(loaded, {self.batch: 4, self.wide: 256})

    def test_a_token_for_another_station_is_refused(self):
        self.assert_refused("is for station", token=self.ferry.token, ferry=self.other)

    def test_its_own_card_on_a_token_for_another_station_does_not_help(self):
        extra, plan = self.ferry.folder / "rows-2.csv", self.ferry.folder / "plan-2.toml"
        self.ferry.fake_inventory(extra, 4, first=1000, lot="L8")
        self.ferry.officer("se", "import", extra, "--source", "room")
        self.ferry.appliance("plan", "new", "--station", "line-2", "--ca", "ca", "--count", 4, "--lot", "L8", "--out", plan)
        self.ferry.approve(plan)
        self.ferry.run_plan(plan)
        self.ferry.export(self.ferry.appliance_json("plan", "show", plan)["batch"], self.other.token)
        shutil.copy(self.ferry.token / "keyferry/token.kf", self.other.token / "keyferry/token.kf")
        self.assert_refused("sealed for another recipient", token=self.other.token)

    def test_one_flipped_bit_in_the_manifest_is_refused_wherever_it_is(self):
        octets = self.manifest.read_bytes()
        for bit, (place, at) in enumerate(container_places(octets).items()):
            with self.subTest(place), changed(self.manifest, flipped(octets, at, bit % 8)):
                self.assert_refused("manifest.kf")

    def test_one_flipped_bit_in_a_segment_is_refused_wherever_it_is(self):
        self.put_back("manifests-known")
        self.segment(1).unlink()
        octets = self.segment().read_bytes()
        for bit, (place, at) in enumerate(container_places(octets).items()):
            with self.subTest(place), changed(self.segment(), flipped(octets, at, bit % 8)):
                self.assert_refused("segment-00000.kf")

    def test_one_flipped_bit_in_the_token_card_is_refused_wherever_it_is(self):
        card = self.ferry.token / "keyferry/token.kf"
        octets = card.read_bytes()
        for at in range(0, len(octets), len(octets) // 16):
            with self.subTest(at), changed(card, flipped(octets, at, at % 8)):
                self.assert_refused("token card")

    def test_a_file_that_was_cut_short_is_refused(self):
        self.put_back("manifests-known")
        self.segment(1).unlink()
        octets = self.segment().read_bytes()
        for length in (1, HEADER - 1, HEADER, HEADER + TRAILER, len(octets) // 2, len(octets) - TRAILER, len(octets) - 1):
            with self.subTest(length), changed(self.segment(), octets[:length]):
                self.assert_refused("segment-00000.kf")

    def test_octets_behind_the_trailer_are_refused(self):
        self.put_back("manifests-known")
        self.segment(1).unlink()
        octets = self.segment().read_bytes()
        for more in (b"\0", octets[-TRAILER:], bytes(100_000)):
            with self.subTest(len(more)), changed(self.segment(), octets + more):
                self.assert_refused("segment-00000.kf")

    def test_exchanged_chunks_are_refused(self):
        self.put_back("manifests-known")
        octets = self.wide_segment.read_bytes()
        first, second, rest = octets[HEADER:HEADER + SEALED_CHUNK], octets[HEADER + SEALED_CHUNK:HEADER + 2 * SEALED_CHUNK], \
            octets[HEADER + 2 * SEALED_CHUNK:]
        self.assertGreater(len(rest), TRAILER)
        for name, body in (("exchanged", second + first), ("twice", first + first), ("one left out", first)):
            with self.subTest(name), changed(self.wide_segment, octets[:HEADER] + body + rest):
                self.assert_refused("segment-00000.kf", token=self.wide_token)

    def test_a_strangers_signature_is_refused(self):
        for naming in ("keep", "rename"):
            with self.subTest(naming), changed(self.manifest, self.sealed_by("stranger", self.manifest, naming)):
                self.assert_refused("manifest.kf", "sign" if naming == "keep" else "sender")

    def test_what_an_enrolled_station_signed_again_is_refused(self):
        for signer in (self.other, self.ferry):
            for naming in ("keep", "rename"):
                sealed = self.sealed_by(signer, self.manifest, naming)
                with self.subTest(signer=signer.station_home.name, naming=naming), changed(self.manifest, sealed):
                    self.assert_refused("manifest.kf")

    def test_a_container_of_another_type_is_refused(self):
        manifest, segment = self.manifest.read_bytes(), self.segment().read_bytes()
        with self.subTest("a segment named manifest.kf"), changed(self.manifest, segment):
            self.assert_refused("type segment where one of type manifest belongs")
        self.put_back("manifests-known")
        self.segment(1).unlink()
        with self.subTest("a manifest named segment"), changed(self.segment(), manifest):
            self.assert_refused("type manifest where one of type segment belongs")

    def test_a_segment_that_is_left_out_is_told_and_can_follow(self):
        with changed(self.segment(1), None):
            done = self.ferry.load(expect=1)
            self.assertIn("1 of 2 segments", done.stdout)
        self.assertIn("2 of 2 segments", self.ferry.load().stdout)

    def test_segments_that_are_exchanged_are_refused(self):
        self.put_back("manifests-known")
        first, second = self.segment(0).read_bytes(), self.segment(1).read_bytes()
        with changed(self.segment(0), second), changed(self.segment(1), first):
            self.assert_refused("segment-00000.kf", "segment-00001.kf")

    def test_another_batchs_segment_is_refused(self):
        self.put_back("manifests-known")
        self.segment(1).unlink()
        with changed(self.segment(), self.wide_segment.read_bytes()):
            self.assert_refused("batch")

    def test_the_same_segment_under_two_names_is_refused_once(self):
        with changed(self.segment(1), self.segment(0).read_bytes()):
            self.assert_segment_refused("segment-00001.kf")
        self.assertEqual(self.ferry.station_json("status")["batches"][0]["loaded"], 2)

    def test_an_old_token_again_changes_nothing(self):
        self.ferry.load()
        before = self.states()
        self.ferry.load()
        self.assertEqual(self.states(), before)
        self.ferry.run_lanes()
        before = self.states()
        self.ferry.load()
        self.assertEqual(self.states(), before)

    def test_empty_files_are_refused(self):
        with changed(self.manifest, b""):
            self.assert_refused("manifest.kf", "empty")
        with changed(self.ferry.token / "keyferry/token.kf", b""):
            self.assert_refused("token card", "empty")

    def test_ten_gigabytes_of_zeros_are_refused_without_being_copied(self):
        room = shutil.disk_usage(self.ferry.folder).free
        for path, head in ((self.manifest, b""), (self.manifest, self.manifest.read_bytes()), (self.ferry.token / "keyferry/token.kf", b"")):
            with self.subTest(path.name), changed(path, head):
                os.truncate(path, 10 << 30)
                self.assert_refused()
        self.assertLess(room - shutil.disk_usage(self.ferry.folder).free, 1 << 30)

    def test_links_pipes_and_folders_are_not_followed(self):
        elsewhere = self.ferry.folder / "elsewhere.kf"
        shutil.copy(self.manifest, elsewhere)
        with self.subTest("link"), changed(self.manifest, None):
            self.manifest.symlink_to(elsewhere)
            self.assert_refused("no batch on this token")
        with self.subTest("pipe"), changed(self.manifest, None):
            os.mkfifo(self.manifest)
            self.assert_refused("no batch on this token")
        with self.subTest("a folder that is a link"):
            folder = self.ferry.token / "keyferry/batch"
            folder.rename(self.ferry.folder / "away")
            folder.symlink_to(self.ferry.folder / "away")
            self.assert_refused("no batch on this token")

    def test_an_empty_token_is_refused(self):
        self.assert_refused("no token card", token=self.empty_token)

    def test_a_token_that_is_not_there_is_said(self):
        done = self.ferry.load(self.ferry.folder / "nowhere", expect=None)
        self.assert_clear(done, "nowhere", status=3)


class TokensForTheAppliance(Bench):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.ferry.export(cls.batch)
        cls.ferry.load()
        cls.ferry.run_lanes()
        cls.ferry.unload()
        cls.put_aside("unloaded")

    def setUp(self):
        self.put_back("unloaded")
        [self.file] = self.ferry.receipt_files()
        self.octets = self.file.read_bytes()

    def assert_refused(self, *words):
        before = cases.dump(self.ledger, cases.APPLIANCE_NOTES)
        leaves = self.log().count(" refused ")
        done = self.ferry.receipts(expect=None)
        self.assert_clear(done, "refused", *words)
        self.assertEqual(cases.dump(self.ledger, cases.APPLIANCE_NOTES), before)
        self.assertGreater(self.log().count(" refused "), leaves)

    def test_the_receipts_are_good_as_they_are_and_once_only(self):
        self.ferry.receipts()
        before = self.states()
        self.assertIn("taken in before", self.ferry.receipts().stdout)
        self.assertEqual(self.states(), before)
        self.assertEqual(self.ferry.reconcile(self.batch)["totals"]["outstanding"], 0)

    def test_one_flipped_bit_is_refused_wherever_it_is(self):
        for bit, (place, at) in enumerate(container_places(self.octets).items()):
            with self.subTest(place), changed(self.file, flipped(self.octets, at, bit % 8)):
                self.assert_refused()

    def test_a_file_that_was_cut_short_or_goes_on_is_refused(self):
        for octets in (b"", self.octets[:HEADER], self.octets[:len(self.octets) // 2], self.octets[:-TRAILER], self.octets + b"\0",
                       self.octets + self.octets[-TRAILER:]):
            with self.subTest(len(octets)), changed(self.file, octets):
                self.assert_refused()

    def test_a_strangers_signature_is_refused(self):
        for naming in ("keep", "rename"):
            with self.subTest(naming), changed(self.file, self.sealed_by("stranger", self.file, naming)):
                self.assert_refused("sign")

    def test_receipts_that_another_enrolled_station_signed_again_are_refused(self):
        for naming in ("keep", "rename"):
            with self.subTest(naming), changed(self.file, self.sealed_by(self.other, self.file, naming)):
                self.assert_refused()

    def test_a_segment_as_receipts_is_refused(self):
        segment = self.ferry.batch_folder(self.batch) / "segment-00000.kf"
        with changed(self.file, segment.read_bytes()):
            self.assert_refused("type segment where one of type receipts belongs")

    def test_receipts_as_a_manifest_are_refused_by_the_station(self):
        before = cases.dump(self.store, cases.STATION_NOTES)
        with changed(self.ferry.batch_folder(self.batch) / "manifest.kf", self.octets):
            done = self.ferry.load(expect=None)
        self.assert_clear(done, "type receipts where one of type manifest belongs")
        self.assertEqual(cases.dump(self.store, cases.STATION_NOTES), before)

    def test_ten_gigabytes_of_zeros_are_refused_without_being_copied(self):
        with changed(self.file, b""):
            os.truncate(self.file, 10 << 30)
            self.assert_refused()

    def test_a_link_is_not_followed(self):
        elsewhere = self.ferry.folder / "elsewhere.kf"
        shutil.copy(self.file, elsewhere)
        with changed(self.file, None):
            self.file.symlink_to(elsewhere)
            self.assert_refused("no file of ours")

    def test_a_token_without_receipts_is_said(self):
        done = self.ferry.receipts(self.empty_token, expect=None)
        self.assert_clear(done, "no receipts")

    def test_a_good_file_beside_a_bad_one_is_taken(self):
        stranger = self.file.with_name(self.file.name.replace("-1-0-", "-1-1-"))
        stranger.write_bytes(flipped(self.octets, len(self.octets) - 1))
        done = self.ferry.receipts(expect=1)
        self.assertIn("4 receipts accepted", done.stdout)
        self.assertEqual(self.ferry.reconcile(self.batch)["totals"]["outstanding"], 0)


if __name__ == "__main__":
    cases.main()
