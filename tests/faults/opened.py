"""A batch as its station and a chip would see it: opened with the station's key, each blob with the chip's transport key."""
from cases import der_length, openssl, rows, tool, unwrapped
from shimmed import P256_KEY_INFO


def check_opened(case, ferry, batch, count, sample):
    """Records in order, each with its own certificate; `sample` of the blobs hold the private key of that certificate."""
    ledger = ferry.home / "ledger.db"
    listed = rows(ledger, "SELECT record_no, hex(se_serial), hex(public_key) FROM record JOIN se USING (se_id) WHERE batch_id = ? "
                          "ORDER BY record_no", bytes.fromhex(batch))
    folder = ferry.home / "batches" / batch
    found = tool("records", ferry.station_home, ferry.secrets / "station-pin", *sorted(folder.glob("segment-*.kf")))
    case.assertEqual(len(found), count)
    case.assertEqual([(one["record_no"], one["se_serial"].upper(), one["public_key"].upper()) for one in found],
                     [tuple(row) for row in listed])
    for one in found:
        case.assertIn(P256_KEY_INFO.hex() + one["public_key"], one["certificate"])
    some = found[::max(1, count // sample)][:sample]
    keys = tool("transport-keys", ferry.gate_settings(), ferry.secrets / "hsm-pin", "m", "P1", *[one["se_serial"] for one in some])
    for one in some:
        plain = unwrapped(bytes.fromhex(one["payload"]), bytes.fromhex(keys[one["se_serial"]]))
        case.assertIsNotNone(plain, f"record {one['record_no']}: the blob does not open under its chip's transport key")
        public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", octets=plain[:der_length(plain)])
        case.assertEqual(public.hex(), P256_KEY_INFO.hex() + one["public_key"], f"record {one['record_no']} holds another key")
