#!/usr/bin/env python3
"""keyferry-bench: each command runs with a small count and says what it should. Speed is no test: no figure is
looked at but that it is one."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(sys.argv.pop(1)).resolve()
ROUNDS = 5


def bench(*arguments, status=0):
    with tempfile.TemporaryDirectory(prefix="keyferry-bench-test-") as folder:
        done = subprocess.run([BIN / "keyferry-bench", *arguments, "--dir", pathlib.Path(folder) / "work"],
                              capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != status:
        raise AssertionError(f"{arguments}: status {done.returncode}\n{done.stderr}")
    return done


class Commands(unittest.TestCase):
    def result(self, name, *arguments):
        done = bench(name, "--json", *arguments)
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
        result = json.loads(done.stdout)
        self.assertEqual(result["schema"], "keyferry.bench.v1")
        self.assertEqual(result["name"], name)
        self.assertIsInstance(result["unit"], str)
        for field in ("figure", "raw", "ratio"):
            self.assertGreater(result[field], 0, field)
        self.assertAlmostEqual(result["ratio"], result["figure"] / result["raw"], delta=0.002)
        self.assertEqual(len(result["rounds"]), ROUNDS)
        for field in ("figure", "raw"):
            each = sorted(one[field] for one in result["rounds"])
            self.assertEqual(result[field], each[ROUNDS // 2], "not the median of its rounds")
        self.assertIn("left", done.stderr, "no remaining time on stderr")
        return result

    def age(self, result):
        self.assertEqual(result["age"]["present"], bool(shutil.which("age") and shutil.which("age-keygen")))
        if result["age"]["present"]:
            self.assertGreater(result["age"]["figure"], 0)
            self.assertTrue(all(one["age"] > 0 for one in result["rounds"]))
        else:
            self.assertIn("not installed", result["age"]["note"])

    def test_seal(self):
        result = self.result("seal", "--count", "1000", "--record-bytes", "2048", "--threads", "2")
        self.assertEqual((result["count"], result["threads"], result["raw_threads"]), (1000, 2, 2))
        self.assertEqual(result["size_bytes"], 1000 * 2048 // 65536 * 65536)
        self.age(result)

    def test_lane(self):
        result = self.result("lane", "--count", "1", "--lanes", "2")
        self.assertEqual((result["count"], result["lanes"]), (1, 2))
        share = 100 * (1 - result["figure"] / result["raw"])
        self.assertAlmostEqual(result["station_share_percent"], share, delta=0.1)  # both sides are rounded
        self.assertGreater(result["all_lanes_times_one"], 0)

    def test_open(self):
        result = self.result("open", "--count", "1000", "--threads", "1")
        self.assertEqual((result["count"], result["threads"], result["raw_threads"]), (1000, 1, 1))
        self.age(result)

    def test_ingest(self):
        result = self.result("ingest", "--count", "100", "--threads", "2")
        self.assertEqual((result["count"], result["threads"], result["raw_threads"]), (100, 1, 2))
        self.assertEqual(result["raw_signatures"], 100)

    def test_log(self):
        result = self.result("log", "--count", "3000", "--leaf-bytes", "100")
        self.assertEqual((result["count"], result["leaf_bytes"]), (3000, 100))

    def test_fewer_rounds_than_a_median_needs_are_refused(self):
        for name in ("generate", "seal", "open", "ingest", "log"):
            bench(name, "--rounds", "4", status=2)

    def test_a_folder_with_something_in_it_is_refused(self):
        with tempfile.TemporaryDirectory(prefix="keyferry-bench-test-") as folder:
            (pathlib.Path(folder) / "kept").write_text("kept")
            done = subprocess.run([BIN / "keyferry-bench", "log", "--count", "10", "--dir", folder],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("hint:", done.stderr)
            self.assertEqual((pathlib.Path(folder) / "kept").read_text(), "kept")


if __name__ == "__main__":
    unittest.main(verbosity=2)
