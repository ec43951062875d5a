// Names of persons: the one place that has them. Everywhere else a person is a number and a salted
// hash, so erasing a row here erases the name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "appliance/ledger/ledger.h"

namespace keyferry::appliance {

inline constexpr std::size_t kPersonSaltBytes = 16;

struct PersonName {
  std::uint32_t number = 0;
  Bytes salt;  // kPersonSaltBytes
  std::string name;
};

class PersonStore {
 public:
  explicit PersonStore(Ledger& ledger) : ledger_{ledger} {}

  [[nodiscard]] std::optional<PersonName> find(std::uint32_t number);

  /// Replaces what is there.
  void keep(const PersonName& person);

  /// Erases name and salt, in the file too (secure_delete, and the write-ahead log is emptied).
  /// False when there was none.
  bool forget(std::uint32_t number);

  [[nodiscard]] std::uint32_t highest_number();

 private:
  Ledger& ledger_;
};

/// `person-name`: data = u32be number, salt, name.
void register_person_actions(Ledger& ledger);
[[nodiscard]] Action person_name_action(const PersonName& person);

}  // namespace keyferry::appliance
