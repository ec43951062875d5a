// Vector files as JSON, and octets out of them.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::test {

/// `name` below tests/vectors.
inline nlohmann::json load_vectors(const std::string& name) {
  std::ifstream file{std::string{KEYFERRY_VECTORS_DIR "/"} + name};
  if (!file) throw std::runtime_error{"no vector file " + name};
  return nlohmann::json::parse(file);
}

inline Bytes hex(const std::string& digits) {
  auto octets = from_hex(digits);
  if (!octets) throw std::runtime_error{"not hex: " + digits};
  return *std::move(octets);
}

inline SecretBytes secret(const Bytes& octets) {
  return SecretBytes::copy_of(octets);
}

inline SecretBytes secret_hex(const std::string& digits) {
  return secret(hex(digits));
}

inline SecretBytes secret_text(std::string_view text) {
  return SecretBytes::copy_of(as_bytes(text));
}

/// Each test of each group of a Wycheproof file, with its group.
inline std::vector<std::pair<nlohmann::json, nlohmann::json>> wycheproof(const std::string& name) {
  std::vector<std::pair<nlohmann::json, nlohmann::json>> cases;
  const nlohmann::json file = load_vectors("wycheproof/" + name);
  for (const auto& group : file.at("testGroups")) {
    nlohmann::json head = group;
    head.erase("tests");
    for (const auto& example : group.at("tests")) cases.emplace_back(head, example);
  }
  return cases;
}

/// For SCOPED_TRACE.
inline std::string label(const nlohmann::json& example) {
  return "tcId " + example.at("tcId").dump() + " " + example.at("comment").get<std::string>();
}

/// Octets that look random and are the same in each run.
inline Bytes pattern(std::size_t size_bytes, std::uint32_t seed) {
  Bytes octets(size_bytes);
  for (std::uint8_t& octet : octets) {
    seed = seed * 1664525U + 1013904223U;
    octet = static_cast<std::uint8_t>(seed >> 24);
  }
  return octets;
}

}  // namespace keyferry::test
