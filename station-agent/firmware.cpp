#include "station-agent/firmware.h"

#include <algorithm>

#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/signing.h"

namespace keyferry::station {
namespace {

constexpr std::uint64_t kPieceBytes = 1ULL << 20;
constexpr std::uint64_t kMaxSignatureFileBytes = 128;  // DER takes 72

Digest hash_of_file(const std::filesystem::path& path) {
  const Fd file = open_regular_file(path, Code::Storage);
  const std::uint64_t size = file_size_bytes(file);
  if (size > kMaxFirmwareBytes)
    throw Error{Code::Storage, "firmware image " + path.string() + " is above 1 GiB"};
  crypto::Sha256 hash;
  Bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min(kPieceBytes, size - at)));
    if (!read_exactly_at(file, at, piece))
      throw Error{Code::Storage, "firmware image " + path.string() + " became shorter"};
    hash.update(piece);
  }
  return hash.finish();
}

}  // namespace

FirmwareImage read_firmware(const std::filesystem::path& image,
                            const std::filesystem::path& signature) {
  const Bytes octets = read_file(signature, kMaxSignatureFileBytes);
  const auto raw = octets.size() == crypto::kSignatureBytes ? std::optional{octets}
                                                            : crypto::der_to_raw_signature(octets);
  if (!raw) {
    throw Error{Code::Usage,
                "firmware signature " + signature.string() + " is neither 64 octets r, s nor DER",
                "sign the image with ECDSA P-256 and SHA-256, e.g. openssl dgst -sha256 -sign"};
  }
  return {hash_of_file(image), *raw};
}

}  // namespace keyferry::station
