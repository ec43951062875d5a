// Driver of family `pkcs11`: an SE behind a helper process (keyferry-lane-p11) of its own, because
// a software token's memory must not be the station's and SoftHSM reads its configuration once per
// process. The helper reads the PIN itself.
#pragma once

#include <chrono>
#include <filesystem>

#include "station-agent/chip.h"
#include "station-agent/lanes_file.h"
#include "wrap/base/process.h"

namespace keyferry::station {

struct HelperSettings {
  std::filesystem::path program;               // keyferry-lane-p11
  std::chrono::milliseconds deadline{30'000};  // of each answer
};

class Pkcs11Chip final : public Chip {
 public:
  Pkcs11Chip(const SePlace& place, const HelperSettings& settings);
  /// Lets the helper log out and end; kills it when that takes too long.
  ~Pkcs11Chip() override;
  Pkcs11Chip(const Pkcs11Chip&) = delete;
  Pkcs11Chip& operator=(const Pkcs11Chip&) = delete;

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
  /// Nothing to do: an injected key can be neither changed nor copied from its first moment.
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

  [[nodiscard]] pid_t helper_pid() const { return helper_.pid(); }

 private:
  /// ChipLost: the helper is gone, too late, talks nonsense, or says that the chip is gone.
  [[nodiscard]] lane_p11::Reply exchange(const lane_p11::Request& request);

  SePlace place_;
  HelperSettings settings_;
  Fd socket_;
  Child helper_;
};

}  // namespace keyferry::station
