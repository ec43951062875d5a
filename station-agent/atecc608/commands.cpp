#include <algorithm>

#include "station-agent/atecc608/session.h"
#include "wrap/base/cut.h"

namespace keyferry::atecc608 {
namespace {

// Parameters of section 4 of the facts.
constexpr std::uint8_t kInfoRevision = 0x00;
constexpr std::uint8_t kInfoKeyValid = 0x01;
constexpr std::uint8_t kBlockAccess = 0x80;
constexpr std::uint8_t kNonceToTempKey = 0x03;
constexpr std::uint8_t kNonceToDigestBuffer = 0x43;
constexpr std::uint8_t kGenDigData = 0x02;
constexpr std::uint8_t kPrivWriteEncrypted = 0x40;
constexpr std::uint8_t kGenKeyPublic = 0x00;
constexpr std::uint8_t kGenKeyDigest = 0x08;
constexpr std::uint8_t kSignExternalDigestBuffer = 0xA0;
constexpr std::uint8_t kSignInternalFullSerial = 0x40;
constexpr std::uint8_t kVerifyStoredDigestBuffer = 0x20;
constexpr std::uint8_t kSecureBootFull = 0x05;
constexpr std::uint8_t kLockSlotNoSummary = 0x82;

constexpr std::size_t kRevisionBytes = 4;
constexpr std::size_t kSlotLockedOctet = 88;  // octets 88 and 89, low first; 1: not locked

Bytes joined(std::initializer_list<ByteView> parts) {
  Bytes all;
  for (const ByteView part : parts) append(all, part);
  return all;
}

Status status_of(const std::variant<Bytes, Status, Unanswered>& result) {
  const auto* status = std::get_if<Status>(&result);
  return status != nullptr ? *status : Status::Success;
}

Answer<Bytes> answer_of(std::variant<Bytes, Status, Unanswered> result) {
  if (auto* data = std::get_if<Bytes>(&result)) return std::move(*data);
  return status_of(result);
}

bool refused(const std::variant<Bytes, Status, Unanswered>& result) {
  const auto* status = std::get_if<Status>(&result);
  return std::holds_alternative<Unanswered>(result) ||
         (status != nullptr && *status != Status::Success);
}

}  // namespace

std::size_t slot_bytes(std::uint8_t slot) {
  if (slot < 8) return 36;
  return slot == 8 ? 416 : 72;
}

std::uint16_t data_address(std::uint8_t slot, std::size_t block) {
  return static_cast<std::uint16_t>(block << 8U | static_cast<std::size_t>(slot) << 3U);
}

std::uint16_t config_address(std::size_t octet) {
  return static_cast<std::uint16_t>(octet / kBlockBytes << 3U | octet % kBlockBytes / kWordBytes);
}

Answer<Bytes> Session::revision() {
  return repeat({Opcode::Info, kInfoRevision, 0}, kRevisionBytes);
}

Answer<bool> Session::key_valid(std::uint8_t slot) {
  const auto answer = repeat({Opcode::Info, kInfoKeyValid, slot}, kRevisionBytes);
  if (const auto* status = std::get_if<Status>(&answer)) return *status;
  return (std::get<Bytes>(answer).front() & 1U) != 0;
}

Answer<Bytes> Session::read_config() {
  Bytes all;
  for (std::size_t octet = 0; octet < kConfigBytes; octet += kBlockBytes) {
    const auto answer = repeat({Opcode::Read, kBlockAccess, config_address(octet)}, kBlockBytes);
    if (const auto* status = std::get_if<Status>(&answer)) return *status;
    append(all, std::get<Bytes>(answer));
  }
  return all;
}

Answer<Bytes> Session::read_config_word(std::size_t octet) {
  return repeat({Opcode::Read, 0, config_address(octet)}, kWordBytes);
}

Answer<Bytes> Session::read_slot(std::uint8_t slot, std::size_t size) {
  constexpr auto kDataBlock =
      static_cast<std::uint8_t>(kBlockAccess | static_cast<std::uint8_t>(Zone::Data));
  Bytes content;
  for (std::size_t block = 0; content.size() < size; ++block) {
    const auto answer = repeat({Opcode::Read, kDataBlock, data_address(slot, block)}, kBlockBytes);
    if (const auto* status = std::get_if<Status>(&answer)) return *status;
    append(content, std::get<Bytes>(answer));
  }
  content.resize(size);
  return content;
}

Answer<Bytes> Session::random() {
  return repeat({Opcode::Random, 0, 0}, kBlockBytes);
}

Status Session::check_mac(std::uint8_t slot,
                          ByteView challenge,
                          ByteView response,
                          ByteView other) {
  return repeat_status({Opcode::CheckMac, 0, slot, joined({challenge, response, other})});
}

Answer<Bytes> Session::public_key(std::uint8_t slot) {
  return repeat({Opcode::GenKey, kGenKeyPublic, slot}, kPointBytes);
}

Status Session::write(Zone zone, std::uint16_t address, ByteView value) {
  const auto p1 = static_cast<std::uint8_t>(static_cast<std::uint8_t>(zone) |
                                            (value.size() == kBlockBytes ? kBlockAccess : 0U));
  Command command{Opcode::Write, p1, address, to_bytes(value)};
  const Wiped wiped{command.data};
  return repeat_status(command);
}

Status Session::write_slot(std::uint8_t slot, ByteView content) {
  for (std::size_t block = 0; block * kBlockBytes < content.size(); ++block) {
    const ByteView rest = content.subspan(block * kBlockBytes);
    Bytes value(kBlockBytes);  // a write of 32 octets into a short last block takes what fits
    std::ranges::copy(rest.first(std::min(rest.size(), kBlockBytes)), value.begin());
    const Wiped wiped{value};
    const Status status = write(Zone::Data, data_address(slot, block), value);
    if (status != Status::Success) return status;
  }
  return Status::Success;
}

Status Session::secure_boot(ByteView digest, ByteView signature) {
  return repeat_status({Opcode::SecureBoot, kSecureBootFull, 0, joined({digest, signature})});
}

Answer<Bytes> Session::sign_digest(std::uint8_t slot, ByteView digest) {
  return answer_of(sequence("Sign", [&]() -> Once {
    const Once loaded = once({Opcode::Nonce, kNonceToDigestBuffer, 0, to_bytes(digest)}, 0);
    if (refused(loaded)) return loaded;
    return once({Opcode::Sign, kSignExternalDigestBuffer, slot}, kSignatureBytes);
  }));
}

Answer<Bytes> Session::sign_internal(std::uint8_t signer, std::uint8_t target, ByteView challenge) {
  return answer_of(sequence("internal Sign", [&]() -> Once {
    const Once loaded = once({Opcode::Nonce, kNonceToTempKey, 0, to_bytes(challenge)}, 0);
    if (refused(loaded)) return loaded;
    const Once digested = once({Opcode::GenKey, kGenKeyDigest, target}, kPointBytes);
    if (refused(digested)) return digested;
    return once({Opcode::Sign, kSignInternalFullSerial, signer}, kSignatureBytes);
  }));
}

Status Session::verify_stored(std::uint8_t slot, ByteView digest, ByteView signature) {
  return status_of(sequence("Verify", [&]() -> Once {
    const Once loaded = once({Opcode::Nonce, kNonceToDigestBuffer, 0, to_bytes(digest)}, 0);
    if (refused(loaded)) return loaded;
    return once({Opcode::Verify, kVerifyStoredDigestBuffer, slot, to_bytes(signature)}, 0);
  }));
}

std::variant<Status, Unanswered> Session::priv_write(const PrivWriteSteps& steps) {
  const std::uint8_t slot = steps.transport_slot;
  // The four octets that the library always sends: with or without NoMac the digest is the same.
  const Bytes other{static_cast<std::uint8_t>(Opcode::GenDig), kGenDigData, slot, 0};
  std::optional<Unanswered> lost;
  const Once written = sequence("PrivWrite", [&]() -> Once {
    const Once loaded = once({Opcode::Nonce, kNonceToTempKey, 0, steps.nonce}, 0);
    if (refused(loaded)) return loaded;
    const Once digested = once({Opcode::GenDig, kGenDigData, slot, other}, 0);
    if (refused(digested)) return digested;
    KF_CUT("atecc608.priv-write-before");  // cut here: the slot is as it was
    Once result = once({Opcode::PrivWrite,
                        kPrivWriteEncrypted,
                        steps.target_slot,
                        joined({steps.cipher, steps.mac})},
                       0);
    if (const auto* unanswered = std::get_if<Unanswered>(&result)) {
      lost = *unanswered;
      return Status::Success;  // ends the sequence; what it says is in `lost`
    }
    return result;
  });
  if (lost) {
    catch_up();
    return *lost;
  }
  return status_of(written);
}

Status Session::lock(const Command& command, const std::function<Answer<bool>()>& locked) {
  for (int tries = 0; tries < settings_.tries; ++tries) {
    const Once result = once(command, 0);
    if (std::holds_alternative<Unanswered>(result)) {
      ++counts_.repeated;
      catch_up();
    }
    const Answer<bool> now = locked();
    if (const auto* status = std::get_if<Status>(&now)) return *status;
    if (std::get<bool>(now)) return Status::Success;
    // Whatever it said, it is not locked: a success that is none is an execution error to us.
    if (const auto* status = std::get_if<Status>(&result))
      return *status == Status::Success ? Status::ExecutionError : *status;
  }
  throw station::ChipLost{"Lock: no answer, " + std::to_string(settings_.tries) + " times"};
}

Answer<bool> Session::slot_locked(std::uint8_t slot) {
  const auto answer = read_config_word(kSlotLockedOctet);
  if (const auto* status = std::get_if<Status>(&answer)) return *status;
  const Bytes& word = std::get<Bytes>(answer);
  const unsigned not_locked = word[0] | static_cast<unsigned>(word[1]) << 8U;
  return (not_locked >> slot & 1U) == 0;
}

Status Session::lock_slot(std::uint8_t slot) {
  const auto p1 = static_cast<std::uint8_t>(kLockSlotNoSummary | slot << 2U);
  return lock({Opcode::Lock, p1, 0}, [&] { return slot_locked(slot); });
}

}  // namespace keyferry::atecc608
