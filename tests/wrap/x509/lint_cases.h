// Certificates with one rule broken each: what breaks it, and what the lint must say.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/wrap/x509/matter_fixture.h"

namespace keyferry::x509::test {

/// DAC, PAI and PAA in parts, with the keys that sign them again.
struct Chain {
  MatterPki pki;
  std::array<Parts, 3> parts{Parts::of(pki.dac), Parts::of(pki.pai), Parts::of(pki.paa)};
  std::function<void(std::vector<Bytes>&)> afterwards = [](std::vector<Bytes>&) {};

  Parts& dac = parts[0];
  Parts& pai = parts[1];
  Parts& paa = parts[2];

  std::vector<Bytes> build() {
    std::vector<Bytes> built{
        dac.build(pki.pai_key), pai.build(pki.paa_key), paa.build(pki.paa_key)};
    afterwards(built);
    return built;
  }

  /// Another subject, and so another issuer of the one below (and of the PAA itself).
  void name(std::size_t index, std::initializer_list<Bytes> rdns) {
    Bytes list;
    for (const Bytes& one : rdns) append(list, one);
    parts[index].subject = der::sequence({list});
    if (index > 0) parts[index - 1].issuer = parts[index].subject;
    if (index == 2) parts[index].issuer = parts[index].subject;
  }
};

inline Bytes hex(std::string_view text) {
  return *from_hex(text);
}

inline const Bytes kSha384 = hex("300a06082a8648ce3d040303");
inline const Bytes kSha1 = hex("300906072a8648ce3d0401");

inline Bytes validity(const char* first, const char* last) {
  return der::sequence({der::time(at(first)), der::time(at(last))});
}

inline Bytes utf8(std::string_view oid, std::string_view value) {
  return rdn(oid, der::kUtf8String, value);
}

struct Case {
  const char* rule;
  std::size_t certificate;
  const char* text;  // of the finding
  void (*breaks)(Chain&);
  std::set<std::string> also = {};  // other findings that the same fault brings
};

/// Rules that hold for everybody, and those of this product.
const std::vector<Case>& general_cases();

/// Matter's rules.
const std::vector<Case>& matter_cases();

}  // namespace keyferry::x509::test
