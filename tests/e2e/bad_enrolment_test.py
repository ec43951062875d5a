#!/usr/bin/env python3
"""Requests, answers and words of an enrolment that do not fit: refused on the side that reads them, nobody is enrolled."""
import copy
import shutil

import cases
from cases import FerryCase, changed, flipped


class EnrolmentTokens(FerryCase):
    """A station that is not enrolled yet, and one that waits for its answer."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.station("init", "--name", "line-1", "--site", "site-1")
        cls.words = ferry.station_json("enroll", "--to", ferry.token)["fingerprint"]
        cls.put_aside("asked")
        ferry.officer("station", "enroll", ferry.token, "--fingerprint", cls.words)
        cls.put_aside("answered")

    def appliance_refuses(self, *words, fingerprint=None):
        before = cases.dump(self.ledger, cases.APPLIANCE_NOTES)
        done = self.ferry.officer("station", "enroll", self.ferry.token, "--fingerprint", fingerprint or self.words, expect=None)
        self.assert_clear(done, *words)
        self.assertEqual(cases.dump(self.ledger, cases.APPLIANCE_NOTES), before)
        self.assertIn("refused what=enrolment-request", self.log())

    def station_refuses(self, *words, fingerprint=None):
        before, noted = cases.dump(self.store, cases.STATION_NOTES), self.refusals()
        done = self.ferry.station("enroll", "--from", self.ferry.token, "--fingerprint", fingerprint or self.ferry.appliance_words,
                                  expect=None)
        self.assert_clear(done, *words)
        self.assertEqual(cases.dump(self.store, cases.STATION_NOTES), before)
        self.assertGreater(self.refusals(), noted)
        self.assertFalse(self.ferry.station_json("status")["enrolled"])

    def test_one_flipped_bit_in_the_request_is_refused(self):
        self.put_back("asked")
        [request] = (self.ferry.token / "keyferry/enrol").glob("request-*.kf")
        octets = request.read_bytes()
        for at in range(0, len(octets), len(octets) // 8):
            with self.subTest(at), changed(request, flipped(octets, at, at % 8)):
                self.appliance_refuses()

    def test_other_words_than_the_stations_are_refused(self):
        self.put_back("asked")
        other = self.ferry.appliance_words
        self.appliance_refuses("words", fingerprint=other)

    def test_one_flipped_bit_in_the_answer_is_refused(self):
        self.put_back("answered")
        [answer] = (self.ferry.token / "keyferry/enrol").glob("answer-*.kf")
        octets = answer.read_bytes()
        for at in range(0, len(octets), len(octets) // 32):
            with self.subTest(at), changed(answer, flipped(octets, at, at % 8)):
                self.station_refuses()

    def test_other_words_than_the_appliances_are_refused(self):
        self.put_back("answered")
        self.station_refuses("another appliance", fingerprint=self.words)

    def test_an_answer_that_is_no_regular_file_or_empty_is_refused(self):
        self.put_back("answered")
        [answer] = (self.ferry.token / "keyferry/enrol").glob("answer-*.kf")
        with changed(answer, b""):
            self.station_refuses("empty")
        elsewhere = self.ferry.folder / "elsewhere.kf"
        shutil.copy(answer, elsewhere)
        with changed(answer, None):
            answer.symlink_to(elsewhere)
            self.station_refuses()

    def test_the_answer_to_another_station_is_refused(self):
        self.put_back("answered")
        [answer] = (self.ferry.token / "keyferry/enrol").glob("answer-*.kf")
        other = copy.copy(self.ferry)
        other.station_home = self.ferry.folder / "station-2"
        other.station("init", "--name", "line-1", "--site", "site-1")
        identity = other.station_json("enroll", "--to", self.ferry.token)["station"]
        station_id = next(value for value in identity.values() if isinstance(value, str) and len(value) == 32)
        shutil.copy(answer, answer.with_name(f"answer-{station_id}.kf"))
        done = other.station("enroll", "--from", self.ferry.token, "--fingerprint", self.ferry.appliance_words, expect=None)
        self.assert_clear(done, "for another station")

    def test_a_flipped_bit_in_the_appliance_card_changes_nothing_for_the_station(self):
        """The card beside the answer is for people; the answer carries its own."""
        self.put_back("answered")
        card = self.ferry.token / "keyferry/card.kf"
        card.write_bytes(flipped(card.read_bytes(), 40))
        self.ferry.station("enroll", "--from", self.ferry.token, "--fingerprint", self.ferry.appliance_words)
        self.assertTrue(self.ferry.station_json("status")["enrolled"])


if __name__ == "__main__":
    cases.main()
