#include "wrap/se/kdf1.h"

#include "wrap/crypto/hash.h"

namespace keyferry::se {

namespace {

constexpr std::size_t kBlockBytes = 16;
constexpr std::size_t kMinKeyBytes = 16;
constexpr std::size_t kMaxKeyBytes = 64;
constexpr std::string_view kContext = "keyferry/v1/tk";

}  // namespace

Bytes kf_kdf_1_data(std::string_view master_name, const Entry& entry, std::size_t key_size_bytes) {
  if (key_size_bytes < kMinKeyBytes || key_size_bytes > kMaxKeyBytes) {
    throw Error{Code::InvalidArgument, "kf-kdf-1 makes keys of 16 to 64 octets"};
  }
  Bytes input;
  input.reserve(256);
  append(input, as_bytes(kContext));
  input.push_back(0x00);
  append_u16be_prefixed(input, as_bytes(master_name));
  append_u16be_prefixed(input, as_bytes(family_name(entry.family)));
  append_u16be_prefixed(input, as_bytes(entry.part));
  append_u16be_prefixed(input, as_bytes(entry.key_name));
  append_u16be(input, sizeof entry.generation);
  append_u32be(input, entry.generation);
  append_u16be_prefixed(input, entry.serial.bytes());
  const Digest digest = crypto::sha256(input);

  // A number in each block keeps the blocks, and so the parts of the key, apart from one another.
  const std::size_t blocks = (key_size_bytes + kBlockBytes - 1) / kBlockBytes;
  Bytes data;
  data.reserve(blocks * kBlockBytes);
  for (std::size_t number = 1; number <= blocks; ++number) {
    data.push_back(static_cast<std::uint8_t>(number));
    append(data, digest.bytes().first(kBlockBytes - 1));
  }
  return data;
}

}  // namespace keyferry::se
