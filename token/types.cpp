#include "token/types.h"

#include <array>

namespace keyferry::token {
namespace {

template <typename Enum>
struct Named {
  Enum value;
  std::string_view name;
};

constexpr std::array kEnvironments{
    Named<Environment>{Environment::Development, "development"},
    Named<Environment>{Environment::Rehearsal, "rehearsal"},
    Named<Environment>{Environment::Production, "production"},
};

constexpr std::array kContainerTypes{
    Named<ContainerType>{ContainerType::Segment, "segment"},
    Named<ContainerType>{ContainerType::Manifest, "manifest"},
    Named<ContainerType>{ContainerType::Receipts, "receipts"},
    Named<ContainerType>{ContainerType::Waiting, "waiting"},
};

constexpr std::array kFamilies{
    Named<Family>{Family::Pkcs11, "pkcs11"},
    Named<Family>{Family::Atecc608, "atecc608"},
    Named<Family>{Family::OptigaTrustM, "optiga-trust-m"},
    Named<Family>{Family::Tpm2, "tpm2"},
};

constexpr std::array kModes{
    Named<Mode>{Mode::Inject, "inject"},
    Named<Mode>{Mode::OnDevice, "on-device"},
    Named<Mode>{Mode::PreProvisioned, "pre-provisioned"},
};

template <typename Enum, std::size_t N>
std::optional<Enum> from_number(const std::array<Named<Enum>, N>& table, std::uint32_t number) {
  for (const auto& row : table) {
    if (static_cast<std::uint32_t>(row.value) == number) return row.value;
  }
  return std::nullopt;
}

template <typename Enum, std::size_t N>
std::optional<Enum> from_name(const std::array<Named<Enum>, N>& table, std::string_view name) {
  for (const auto& row : table) {
    if (row.name == name) return row.value;
  }
  return std::nullopt;
}

template <typename Enum, std::size_t N>
std::string_view to_name(const std::array<Named<Enum>, N>& table, Enum value) {
  for (const auto& row : table) {
    if (row.value == value) return row.name;
  }
  return "unknown";
}

}  // namespace

std::optional<Environment> environment_from_number(std::uint32_t number) {
  return from_number(kEnvironments, number);
}

std::optional<ContainerType> container_type_from_number(std::uint32_t number) {
  return from_number(kContainerTypes, number);
}

std::optional<Family> family_from_number(std::uint32_t number) {
  return from_number(kFamilies, number);
}

std::optional<Mode> mode_from_number(std::uint32_t number) {
  return from_number(kModes, number);
}

std::string_view name_of(Environment environment) {
  return to_name(kEnvironments, environment);
}

std::string_view name_of(ContainerType type) {
  return to_name(kContainerTypes, type);
}

std::string_view name_of(Family family) {
  return to_name(kFamilies, family);
}

std::string_view name_of(Mode mode) {
  return to_name(kModes, mode);
}

std::optional<Environment> environment_from_name(std::string_view name) {
  return from_name(kEnvironments, name);
}

std::optional<Family> family_from_name(std::string_view name) {
  return from_name(kFamilies, name);
}

}  // namespace keyferry::token
