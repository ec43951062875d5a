#include "appliance/gate/imported_key.h"

#include <botan/mem_ops.h>
#include <fmt/format.h>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/terminal.h"
#include "wrap/base/text.h"
#include "wrap/crypto/cmac.h"

namespace keyferry::appliance {
namespace {

/// 0 to 15; 16 for what is no hex digit.
unsigned digit_value(std::uint8_t digit) {
  if (digit >= '0' && digit <= '9') return static_cast<unsigned>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<unsigned>(digit - 'a') + 10;
  if (digit >= 'A' && digit <= 'F') return static_cast<unsigned>(digit - 'A') + 10;
  return 16;
}

constexpr std::size_t kCheckBytes = 16;
constexpr unsigned kTriesForAPart = 5;

/// Why `part` is not the one; nothing when it is.
std::optional<std::string> wrong_part(const SecretBytes& part, const Bytes& check_value, std::size_t number, std::size_t count) {
  const Bytes found = crypto::aes_check_value(part);
  if (found == check_value) return std::nullopt;
  return fmt::format("part {} of {} has check value {}, the officers approved {}", number, count, to_hex(found), to_hex(check_value));
}

SecretBytes part_from_terminal(const Bytes& check_value, std::size_t number, std::size_t count) {
  Terminal terminal{fmt::format("part {} of {} of a key is asked for", number, count)};
  terminal.clear();
  terminal.show(fmt::format("Part {} of {} of the key to import. Its custodian, alone at the screen: 64 hex digits; nothing that is "
                            "typed is shown.\n", number, count));
  std::string said;
  for (unsigned tries = 1; tries <= kTriesForAPart; ++tries) {
    const SecretBytes typed = terminal.ask(fmt::format("part {}: ", number));
    try {
      SecretBytes part = imported_key_from_hex(typed);
      const auto wrong = wrong_part(part, check_value, number, count);
      if (!wrong) {
        terminal.clear();
        terminal.show(fmt::format("Part {} of {}: its check value {} agrees.\n", number, count, to_hex(check_value)));
        return part;
      }
      said = *wrong;
    } catch (const Error& error) {  // a slip of the hand is asked for again
      said = error.what();
    }
    terminal.show(said + ": type it again\n");
  }
  throw Error{Code::Refused, said, "nothing was imported: have the vendor's custodian compare part and check value"};
}

SecretBytes part_from_descriptor(int fd, const Bytes& check_value, std::size_t number, std::size_t count) {
  const Fd owned{fd};
  SecretBytes part = imported_key_from_hex(read_secret_line(owned.get()));
  if (const auto wrong = wrong_part(part, check_value, number, count)) {
    throw Error{Code::Refused, *wrong, "nothing was imported: have the vendor's custodian compare part and check value"};
  }
  return part;
}

}  // namespace

std::vector<Bytes> component_check_values(const std::vector<std::string>& texts) {
  std::vector<Bytes> values;
  for (const std::string& text : texts) {
    const auto value = from_hex(text);
    if (!value || value->size() != kCheckBytes) throw Error{Code::Usage, "--component-check-value: 32 hex digits, of each part"};
    values.push_back(*value);
  }
  if (values.size() < 2 || values.size() > 3) throw Error{Code::Usage, "--component-check-value: a key comes in two or three parts"};
  return values;
}

SecretBytes obtain_components(const std::vector<Bytes>& check_values, const std::vector<int>& key_fds) {
  const std::size_t count = check_values.size();
  if (!key_fds.empty() && key_fds.size() != count) {
    throw Error{Code::Usage, fmt::format("{} parts, and {} descriptors to read them from", count, key_fds.size())};
  }
  SecretBytes key{kImportedKeyBytes};
  for (std::size_t i = 0; i < count; ++i) {
    const SecretBytes part = key_fds.empty() ? part_from_terminal(check_values[i], i + 1, count)
                                             : part_from_descriptor(key_fds[i], check_values[i], i + 1, count);
    for (std::size_t at = 0; at < kImportedKeyBytes; ++at) key.expose_writable()[at] ^= part.expose()[at];
  }
  return key;
}

SecretBytes imported_key_from_hex(const SecretBytes& digits) {
  const Error wrong{Code::Usage, "the key is not 64 hex digits (AES-256, 32 octets)",
                    "give it as one line of hex, without blanks"};
  if (digits.size() != 2 * kImportedKeyBytes) throw wrong;
  SecretBytes octets{kImportedKeyBytes};
  for (std::size_t i = 0; i < kImportedKeyBytes; ++i) {
    const unsigned high = digit_value(digits.expose()[2 * i]);
    const unsigned low = digit_value(digits.expose()[2 * i + 1]);
    if (high > 15 || low > 15) throw wrong;
    octets.expose_writable()[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return octets;
}

SecretBytes obtain_imported_key(int key_fd) {
  if (key_fd >= 0) {
    const Fd fd{key_fd};
    return imported_key_from_hex(read_secret_line(fd.get()));
  }
  SecretBytes key = imported_key_from_hex(prompt_secret("key to import (64 hex digits): "));
  const SecretBytes again = imported_key_from_hex(prompt_secret("the same key again: "));
  if (!Botan::constant_time_compare(key.expose().data(), again.expose().data(), kImportedKeyBytes)) {
    throw Error{Code::Usage, "the two keys differ", "give the same command again"};
  }
  return key;
}

}  // namespace keyferry::appliance
