#include "wrap/se/kdf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/se/kdf1.h"

namespace keyferry::se {

namespace {

struct KdfRow {
  Kdf kdf;
  std::string_view name;
  p11::Mechanism mechanism;
};

constexpr std::array kKdfs{
    KdfRow{Kdf::KfKdf1, "kf-kdf-1", p11::Mechanism::AesEcbEncryptData},
    KdfRow{Kdf::KfKdf2, "kf-kdf-2", p11::Mechanism::Sp800108CounterKdf},
};

constexpr std::string_view kContext = "keyferry/v1/tk";
constexpr std::string_view kCheckLabel = "kcv";  // the name of no family

const KdfRow& row_of(Kdf kdf) {
  return *std::ranges::find(kKdfs, kdf, &KdfRow::kdf);
}

Bytes input_of(std::string_view master_name,
               std::string_view family,
               std::string_view part,
               std::string_view key_name,
               std::uint32_t generation,
               ByteView serial) {
  Bytes input;
  input.reserve(256);
  append(input, as_bytes(kContext));
  input.push_back(0x00);
  append_u16be_prefixed(input, as_bytes(master_name));
  append_u16be_prefixed(input, as_bytes(family));
  append_u16be_prefixed(input, as_bytes(part));
  append_u16be_prefixed(input, as_bytes(key_name));
  append_u16be(input, sizeof generation);
  append_u32be(input, generation);
  append_u16be_prefixed(input, serial);
  return input;
}

}  // namespace

std::string_view kdf_name(Kdf kdf) {
  return row_of(kdf).name;
}

std::optional<Kdf> kdf_from_name(std::string_view name) {
  const auto* const found = std::ranges::find(kKdfs, name, &KdfRow::name);
  if (found == kKdfs.end()) return std::nullopt;
  return found->kdf;
}

p11::Mechanism kdf_mechanism(Kdf kdf) {
  return row_of(kdf).mechanism;
}

std::optional<Refusal> check_kdf(Kdf kdf, const p11::ProbeResult& facts) {
  const bool derives = kdf == Kdf::KfKdf1 ? facts.ecb_data_derives : facts.sp800_108_derives;
  if (derives) return std::nullopt;
  return Refusal{
      "hsm-no-kdf",
      fmt::format("the HSM does not derive by {}: {} is absent or its key does not equal "
                  "software's",
                  kdf_name(kdf),
                  p11::mechanism_name(kdf_mechanism(kdf))),
      fmt::format("masters of {} need an HSM that has it: `doctor` lists what this one can do",
                  kdf_name(kdf))};
}

Bytes kdf_input(std::string_view master_name, const Entry& entry) {
  return input_of(master_name,
                  family_name(entry.family),
                  entry.part,
                  entry.key_name,
                  entry.generation,
                  entry.serial.bytes());
}

Bytes kdf_check_input() {
  return input_of("", kCheckLabel, kCheckLabel, kCheckLabel, 0, as_bytes(kCheckLabel));
}

p11::Key derive(p11::Session& session,
                Kdf kdf,
                p11::ObjectHandle master,
                ByteView input,
                std::size_t key_size_bytes,
                const p11::Template& key) {
  switch (kdf) {
    case Kdf::KfKdf1:
      return session.derive_aes_ecb_data(master, kf_kdf_1_data(input, key_size_bytes), key);
    case Kdf::KfKdf2:
      return session.derive_sp800_108(master, input, key);
  }
  throw Error{Code::Internal, "an unknown KDF"};
}

}  // namespace keyferry::se
