// The KDF that belongs to a transport-key master for life (design.md section 5, FORMAT.md): its
// name, its input, and its one call in an HSM.
#pragma once

#include <optional>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"
#include "wrap/se/entry.h"

namespace keyferry::se {

enum class Kdf {
  KfKdf1,  // CKM_AES_ECB_ENCRYPT_DATA
  KfKdf2,  // CKM_SP800_108_COUNTER_KDF with CMAC
};

/// "kf-kdf-1", "kf-kdf-2".
[[nodiscard]] std::string_view kdf_name(Kdf kdf);
[[nodiscard]] std::optional<Kdf> kdf_from_name(std::string_view name);

/// The only mechanism that a master of this KDF may be used with (CKA_ALLOWED_MECHANISMS).
[[nodiscard]] p11::Mechanism kdf_mechanism(Kdf kdf);

/// Nothing when the probe saw the module derive with it; refusal `hsm-no-kdf` otherwise.
[[nodiscard]] std::optional<Refusal> check_kdf(Kdf kdf, const p11::ProbeResult& facts);

/// What both KDFs are computed over: "keyferry/v1/tk", 0x00, then each with u16be length: master
/// name, family, part, key name, generation u32be, serial. master_name: NAME of kf-tk/NAME.
[[nodiscard]] Bytes kdf_input(std::string_view master_name, const Entry& entry);

/// The input under which a master's check value is derived: the same fields, master name empty,
/// generation 0, the others `kcv`. No entry has it: there is no such family, master or generation.
[[nodiscard]] Bytes kdf_check_input();

/// Derives from `master` over `input`; `key` is a template with value_len of 16 to 64 octets (AES:
/// 16, 24 or 32), whose number is `key_size_bytes`.
[[nodiscard]] p11::Key derive(p11::Session& session,
                              Kdf kdf,
                              p11::ObjectHandle master,
                              ByteView input,
                              std::size_t key_size_bytes,
                              const p11::Template& key);

}  // namespace keyferry::se
