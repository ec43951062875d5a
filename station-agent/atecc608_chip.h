// Driver of family `atecc608` (shared facts se/atecc608.md, section 6): one chip on a bus. What
// goes into it was computed by the appliance for this very chip; the station passes it on and knows
// no key.
//
//   check      serial, zones, configuration, pre-flight CheckMac: nothing is written
//   ask        GenKey(public) of the target slot against the record's key
//   inject     Nonce, GenDig, PrivWrite; a lost answer is decided by asking
//   write/read certificate slots, plain area or 72 compressed octets (wrap/se/FORMAT.md)
//   lock       the target slot; octets 88-89 are read back
//   sign       external signatures; attest: an internal one over a GenKey digest
//   firmware   Verify with the stored key, or SecureBoot where the configuration has it on
#pragma once

#include <functional>
#include <memory>

#include "station-agent/atecc608/session.h"
#include "station-agent/chip.h"
#include "wrap/se/atecc608_payload.h"

namespace keyferry::station {

using OpenWire = std::function<std::unique_ptr<atecc608::Wire>()>;

class Atecc608Chip final : public Chip {
 public:
  /// The bus is opened by identify().
  explicit Atecc608Chip(OpenWire open_wire, atecc608::SessionSettings settings = {});

  [[nodiscard]] std::variant<ChipFacts, ChipRefusal> identify() override;
  [[nodiscard]] std::optional<Refusal> check(const token::Record& record,
                                             const FirmwareImage* firmware) override;
  [[nodiscard]] Asked ask(const KeyHandle& handle,
                          const std::vector<KeyHandle>& known,
                          const token::Record& record) override;
  [[nodiscard]] std::optional<Refusal> inject(const KeyHandle& handle,
                                              const token::Record& record) override;
  [[nodiscard]] std::optional<Refusal> write_chain(const KeyHandle& handle,
                                                   const token::Record& record) override;
  [[nodiscard]] std::optional<Refusal> lock(const token::Record& record) override;
  [[nodiscard]] std::variant<ReadChain, Refusal> read_chain(const KeyHandle& handle,
                                                            const token::Record& record) override;
  [[nodiscard]] std::variant<Bytes, Refusal> sign(const KeyHandle& handle,
                                                  const token::Record& record,
                                                  ChipSigns kind,
                                                  ByteView message) override;
  [[nodiscard]] std::variant<Bytes, Refusal> answer(const KeyHandle& handle,
                                                    const crypto::PublicKey& key,
                                                    ByteView message) override;
  [[nodiscard]] FirmwareAnswer verify_firmware(const token::Record& record,
                                               const FirmwareImage& firmware) override;
  [[nodiscard]] PromisedEvidence evidence(const token::Record& record) override;
  [[nodiscard]] std::variant<Bytes, Refusal> attest(const token::Record& record,
                                                    ByteView core) override;

 private:
  /// The record's payload; the sandwich calls nothing before check() has accepted it.
  [[nodiscard]] const se::Atecc608Payload& payload_of(const token::Record& record);
  [[nodiscard]] bool was_locked(std::uint8_t slot) const;
  [[nodiscard]] std::optional<Refusal> check_layout(const se::Atecc608Payload& payload) const;
  [[nodiscard]] std::optional<Refusal> preflight(const se::Atecc608Payload& payload);
  /// The public key in a data slot; nothing when it cannot be read or is none.
  [[nodiscard]] std::optional<crypto::PublicKey> stored_key(std::uint8_t slot);
  [[nodiscard]] Asked ask_slot(const token::Record& record);

  OpenWire open_wire_;
  atecc608::SessionSettings settings_;
  std::unique_ptr<atecc608::Session> session_;
  Bytes serial_;
  Bytes configuration_;  // 128 octets, as identify() read them
  Bytes parsed_from_;
  std::optional<se::Atecc608Payload> payload_;
};

}  // namespace keyferry::station
