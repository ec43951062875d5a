#include "tests/vse/atecc608/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <utility>

#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::vse::atecc608 {
namespace {

struct OpcodeName {
  Opcode opcode;
  std::string_view name;
};

constexpr std::array kOpcodeNames{
    OpcodeName{Opcode::Read, "Read"},
    OpcodeName{Opcode::Mac, "MAC"},
    OpcodeName{Opcode::Write, "Write"},
    OpcodeName{Opcode::GenDig, "GenDig"},
    OpcodeName{Opcode::Nonce, "Nonce"},
    OpcodeName{Opcode::Lock, "Lock"},
    OpcodeName{Opcode::Random, "Random"},
    OpcodeName{Opcode::DeriveKey, "DeriveKey"},
    OpcodeName{Opcode::UpdateExtra, "UpdateExtra"},
    OpcodeName{Opcode::Counter, "Counter"},
    OpcodeName{Opcode::CheckMac, "CheckMac"},
    OpcodeName{Opcode::Info, "Info"},
    OpcodeName{Opcode::GenKey, "GenKey"},
    OpcodeName{Opcode::Sign, "Sign"},
    OpcodeName{Opcode::Verify, "Verify"},
    OpcodeName{Opcode::PrivWrite, "PrivWrite"},
    OpcodeName{Opcode::Sha, "SHA"},
    OpcodeName{Opcode::SelfTest, "SelfTest"},
    OpcodeName{Opcode::SecureBoot, "SecureBoot"},
};

struct KindName {
  std::string_view name;
  FaultKind kind;
  std::size_t arguments;  // after WHEN
};

constexpr std::array kKinds{
    KindName{"drop", FaultKind::Drop, 0},
    KindName{"nack", FaultKind::Nack, 1},
    KindName{"flip", FaultKind::Flip, 2},
    KindName{"garbage", FaultKind::Garbage, 0},
    KindName{"late", FaultKind::Late, 1},
    KindName{"previous", FaultKind::Previous, 0},
    KindName{"cut-before", FaultKind::CutBefore, 0},
    KindName{"cut-after", FaultKind::CutAfter, 0},
};

template <typename Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || at != end) return std::nullopt;
  return value;
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in{line.substr(0, line.find('#'))};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

/// WHEN of a line.
bool read_when(const std::string& text, Fault& fault) {
  if (const auto plain = number<std::uint32_t>(text)) {
    fault.number = *plain;
    return fault.number > 0;
  }
  const std::size_t colon = text.find(':');
  fault.opcode = opcode_from_name(std::string_view{text}.substr(0, colon));
  if (!fault.opcode) return false;
  if (colon == std::string::npos) return true;
  const auto which = number<std::uint32_t>(std::string_view{text}.substr(colon + 1));
  fault.number = which.value_or(0);
  return fault.number > 0;
}

bool read_fault(const std::vector<std::string>& words, FaultScript& script) {
  const auto kind = std::ranges::find(kKinds, words[0], &KindName::name);
  if (kind == kKinds.end() || words.size() != kind->arguments + 2) return false;
  Fault fault;
  fault.kind = kind->kind;
  if (!read_when(words[1], fault)) return false;
  const auto first = number<std::uint32_t>(words.size() > 2 ? words[2] : "0");
  const auto second = number<std::uint32_t>(words.size() > 3 ? words[3] : "0");
  if (!first || !second || *second > 7) return false;
  fault.first = *first;
  fault.second = *second;
  script.faults.push_back(fault);
  return true;
}

bool read_line(const std::vector<std::string>& words, FaultScript& script) {
  if (words[0] == "counterfeit" && words.size() == 1) return script.counterfeit = true;
  if (words[0] != "noise") return read_fault(words, script);
  if (words.size() != 3) return false;
  const auto percent = number<double>(words[1]);
  const auto seed = number<std::uint64_t>(words[2]);
  if (!percent || !seed || *percent < 0 || *percent > 100) return false;
  script.noise_percent = *percent;
  script.noise_seed = *seed;
  return true;
}

}  // namespace

std::optional<Opcode> opcode_from_name(std::string_view name) {
  const auto known = std::ranges::find(kOpcodeNames, name, &OpcodeName::name);
  if (known == kOpcodeNames.end()) return std::nullopt;
  return known->opcode;
}

std::string opcode_name(std::uint8_t opcode) {
  const auto known =
      std::ranges::find(kOpcodeNames, static_cast<Opcode>(opcode), &OpcodeName::opcode);
  return known == kOpcodeNames.end() ? fmt::format("0x{:02x}", opcode) : std::string{known->name};
}

FaultScript read_faults(std::string_view text, const std::string& where) {
  FaultScript script;
  std::istringstream lines{std::string{text}};
  std::size_t at = 0;
  for (std::string line; std::getline(lines, line);) {
    ++at;
    const std::vector<std::string> words = words_of(line);
    if (words.empty() || read_line(words, script)) continue;
    throw Error{Code::Usage,
                fmt::format("{}, line {}: \"{}\" is no fault", where, at, printable(line)),
                "for example: cut-after PrivWrite, or: flip 7 2 0, or: noise 5 1"};
  }
  return script;
}

FaultClock::FaultClock(FaultScript script)
    : script_{std::move(script)}, noise_{script_.noise_seed} {
  for (const Fault& fault : script_.faults) waiting_.push_back({fault, fault.number});
}

std::vector<Fault> FaultClock::due(std::uint8_t opcode) {
  std::vector<Fault> now;
  for (Waiting& waiting : waiting_) {
    if (waiting.left == 0) continue;
    if (waiting.fault.opcode && *waiting.fault.opcode != static_cast<Opcode>(opcode)) continue;
    if (--waiting.left == 0) now.push_back(waiting.fault);
  }
  return now;
}

Bytes FaultClock::with_noise(Bytes packet) {
  if (script_.noise_percent <= 0 || packet.size() < 2) return packet;
  std::uniform_real_distribution<double> percent{0, 100};
  if (percent(noise_) >= script_.noise_percent) return packet;
  std::uniform_int_distribution<std::size_t> bits{8, packet.size() * 8 - 1};
  const std::size_t bit = bits(noise_);
  packet[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
  return packet;
}

}  // namespace keyferry::vse::atecc608
