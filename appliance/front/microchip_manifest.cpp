#include "appliance/front/microchip_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <istream>
#include <nlohmann/json.hpp>
#include <streambuf>

#include "wrap/base/base64.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using Parsed = nlohmann::json;

constexpr std::array<std::string_view, 3> kModels{"ATECC608A", "ATECC608B", "ATECC608C"};
constexpr int kEntryDepth = 2;   // the array, then the entry
constexpr int kHeaderDepth = 3;  // its member "header"
constexpr int kMaxDepth = 16;
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kCoordinateBytes = 32;
constexpr std::uint64_t kNewestVersion = 3;

/// The file as characters. An entry that is longer than allowed ends it, which the parser tells as
/// a cut file.
class Characters : public std::streambuf {
 public:
  explicit Characters(const ManifestSource& source) : source_{source}, buffer_(kReadBytes) {}

  void entry_done() { left_ = kMaxManifestEntryBytes; }

  [[nodiscard]] bool too_long() const { return left_ == 0; }

 protected:
  int_type underflow() override {
    if (left_ == 0) return traits_type::eof();
    const std::size_t want = std::min(buffer_.size(), left_);
    const std::size_t got =
        source_(std::span{reinterpret_cast<std::uint8_t*>(buffer_.data()), want});
    if (got == 0) return traits_type::eof();
    left_ -= got;
    setg(buffer_.data(), buffer_.data(), buffer_.data() + got);
    return traits_type::to_int_type(*gptr());
  }

 private:
  const ManifestSource& source_;
  std::vector<char> buffer_;
  std::size_t left_ = kMaxManifestEntryBytes + kReadBytes;
};

struct RawEntry {
  std::optional<std::string> payload, protected_header, signature, unique_id;
};

/// Base64url without padding (RFC 7515 section 2), in its one form.
std::optional<Bytes> from_base64url(std::string text) {
  for (char& c : text) {
    if (c == '+' || c == '/' || c == '=') return std::nullopt;
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  text.append((4 - text.size() % 4) % 4, '=');
  return from_base64(text);
}

Refusal refuse(std::string reason, std::string text) {
  return Refusal{std::move(reason), std::move(text)};
}

/// An object of a bounded text; nothing for anything else.
std::optional<Parsed> object_in(const std::optional<Bytes>& octets) {
  if (!octets) return std::nullopt;
  Parsed parsed = Parsed::parse(octets->begin(), octets->end(), nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  return parsed;
}

std::string text_of(const Parsed& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

std::optional<Refusal> check_header(const RawEntry& raw, const ManifestTerms& terms) {
  const auto header = object_in(from_base64url(*raw.protected_header));
  if (!header) return refuse("manifest-header", "the protected header is no JSON object");
  if (header->contains("crit"))
    return refuse("manifest-header", "the protected header has critical members");
  if (text_of(*header, "alg") != "ES256")
    return refuse("manifest-header",
                  fmt::format("algorithm \"{}\": only ES256 is accepted",
                              printable(text_of(*header, "alg"))));
  const auto thumbprint = from_base64url(text_of(*header, "x5t#S256"));
  if (!thumbprint || !equal(*thumbprint, terms.certificate_sha256.bytes()))
    return refuse("manifest-header", "it names another signer's certificate than the source's");
  return std::nullopt;
}

std::optional<Refusal> check_signature(const RawEntry& raw, const ManifestTerms& terms) {
  const auto signature = from_base64url(*raw.signature);
  const Digest digest = crypto::sha256_of(
      {as_bytes(*raw.protected_header), as_bytes("."), as_bytes(*raw.payload)});
  if (!signature || !crypto::verify(terms.signer, digest, *signature))
    return refuse("manifest-signature", "the signature is not the source's over this entry");
  return std::nullopt;
}

/// The public key of `slot`; nothing when the entry has none for it.
std::variant<std::optional<crypto::PublicKey>, Refusal> slot_key(const Parsed& element,
                                                                 std::uint8_t slot) {
  const auto set = element.find("publicKeySet");
  if (set == element.end() || !set->is_object()) return std::nullopt;
  const auto keys = set->find("keys");
  if (keys == set->end() || !keys->is_array()) return std::nullopt;
  std::optional<crypto::PublicKey> found;
  for (const Parsed& key : *keys) {
    if (!key.is_object() || text_of(key, "kid") != fmt::format("{}", slot)) continue;
    const auto x = from_base64url(text_of(key, "x"));
    const auto y = from_base64url(text_of(key, "y"));
    const bool form = text_of(key, "kty") == "EC" && text_of(key, "crv") == "P-256" && x && y &&
                      x->size() == kCoordinateBytes && y->size() == kCoordinateBytes;
    Bytes point{0x04};
    if (form) append(point, *x);
    if (form) append(point, *y);
    const auto known = form ? crypto::PublicKey::from_point(point) : std::nullopt;
    if (!known || found)
      return refuse("manifest-key",
                    fmt::format("slot {}: not exactly one public key of P-256", slot));
    found = known;
  }
  return found;
}

std::variant<SeSerial, Refusal> serial_of(const Parsed& element, const RawEntry& raw) {
  const std::string id = text_of(element, "uniqueId");
  const bool lower = std::ranges::none_of(id, [](char c) { return c >= 'A' && c <= 'F'; });
  const auto octets = lower ? from_hex(id) : std::nullopt;
  if (!octets)
    return refuse("manifest-id", fmt::format("uniqueId \"{}\" is no lower-case hex", printable(id)));
  if (id != *raw.unique_id)
    return refuse("manifest-id", "uniqueId outside the signature is another than inside it");
  return se::normalise_serial(se::Family::Atecc608, *octets);
}

bool known_version(const Parsed& element) {
  const auto version = element.find("version");
  return version != element.end() && version->is_number_unsigned() &&
         version->get<std::uint64_t>() >= 1 && version->get<std::uint64_t>() <= kNewestVersion;
}

std::variant<se::Entry, Refusal> read_payload(const RawEntry& raw, const ManifestTerms& terms) {
  const auto element = object_in(from_base64url(*raw.payload));
  if (!element || !known_version(*element))
    return refuse("manifest-payload", "the payload is no secure element of versions 1 to 3");
  auto serial = serial_of(*element, raw);
  if (auto* refusal = std::get_if<Refusal>(&serial)) return std::move(*refusal);
  const std::string model = text_of(*element, "model");
  if (std::ranges::find(kModels, model) == kModels.end())
    return refuse("manifest-model", fmt::format("model \"{}\" is not supported", printable(model)));
  std::optional<crypto::PublicKey> attestation_key;
  if (terms.attestation_slot) {
    auto key = slot_key(*element, *terms.attestation_slot);
    if (auto* refusal = std::get_if<Refusal>(&key)) return std::move(*refusal);
    attestation_key = std::get<0>(key);
    if (!attestation_key)  // the plan says that every chip has one: possession alone is not what was approved
      return refuse("manifest-key", fmt::format("slot {}: no public key", *terms.attestation_slot));
  }
  const std::string part = text_of(*element, "partNumber");
  se::Entry entry{.family = se::Family::Atecc608,
                  .serial = std::get<SeSerial>(serial),
                  .part = part.empty() ? model : part,
                  .lot = terms.lot,
                  .key_name = terms.key_name,
                  .device_serial = {},
                  .generation = 1,
                  .transport_kind = se::TransportKind::Derived,
                  .transport_name = terms.master,
                  .transport_data = {},
                  .attestation_key = attestation_key};
  if (auto refusal = se::check_entry(entry)) return *std::move(refusal);
  return entry;
}

std::variant<se::Entry, Refusal> read_entry(const RawEntry& raw, const ManifestTerms& terms) {
  if (!raw.payload || !raw.protected_header || !raw.signature || !raw.unique_id)
    return refuse("manifest-form", "payload, protected, signature or header.uniqueId is missing");
  if (auto refusal = check_header(raw, terms)) return *std::move(refusal);
  if (auto refusal = check_signature(raw, terms)) return *std::move(refusal);
  return read_payload(raw, terms);
}

/// Takes the entries out of the parser's events; false from a member ends the parsing.
class Entries : public nlohmann::json_sax<Parsed> {
 public:
  Entries(Characters& characters, const ManifestTerms& terms, const ManifestVisitor& visit)
      : characters_{characters}, terms_{terms}, visit_{visit} {}

  [[nodiscard]] const std::string& wrong() const { return wrong_; }

  bool null() override { return value(); }

  bool boolean(bool) override { return value(); }

  bool number_integer(number_integer_t) override { return value(); }

  bool number_unsigned(number_unsigned_t) override { return value(); }

  bool number_float(number_float_t, const string_t&) override { return value(); }

  bool binary(binary_t&) override { return value(); }

  bool string(string_t& text) override {
    if (depth_ < kEntryDepth) return stop("the array holds something else than entries");
    if (std::optional<std::string>* const member = wanted()) {
      if (*member) return stop(fmt::format("a member stands twice in entry {}", place_));
      *member = std::move(text);
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ == 0) return stop("the file is no JSON array");
    if (!deeper()) return false;
    if (depth_ == kEntryDepth) {
      ++place_;
      raw_ = {};
    } else if (depth_ == kHeaderDepth) {
      in_header_ = key_ == "header";
    }
    return true;
  }

  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }

  bool end_object() override {
    if (depth_ == kEntryDepth) {
      visit_(place_, read_entry(raw_, terms_));
      characters_.entry_done();
    }
    if (depth_ == kHeaderDepth) in_header_ = false;
    --depth_;
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ == 1) return stop("the array holds something else than entries");
    return deeper();
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return stop(characters_.too_long()
                    ? fmt::format("entry {} is longer than {} octets", place_, kMaxManifestEntryBytes)
                    : fmt::format("no JSON at octet {}", position));
  }

 private:
  bool value() {
    if (depth_ >= kEntryDepth) return true;
    return stop(depth_ == 0 ? "the file is no JSON array" : "the array holds something else than entries");
  }

  bool deeper() {
    if (++depth_ <= kMaxDepth) return true;
    return stop("nested too deeply");
  }

  bool stop(std::string why) {
    if (wrong_.empty()) wrong_ = std::move(why);
    return false;
  }

  std::optional<std::string>* wanted() {
    if (depth_ == kEntryDepth && key_ == "payload") return &raw_.payload;
    if (depth_ == kEntryDepth && key_ == "protected") return &raw_.protected_header;
    if (depth_ == kEntryDepth && key_ == "signature") return &raw_.signature;
    if (depth_ == kHeaderDepth && in_header_ && key_ == "uniqueId") return &raw_.unique_id;
    return nullptr;
  }

  Characters& characters_;
  const ManifestTerms& terms_;
  const ManifestVisitor& visit_;
  std::string key_, wrong_;
  RawEntry raw_;
  std::uint64_t place_ = 0;
  int depth_ = 0;
  bool in_header_ = false;
};

}  // namespace

std::optional<Refusal> read_manifest(const ManifestSource& source,
                                     const ManifestTerms& terms,
                                     const ManifestVisitor& visit) {
  Characters characters{source};
  std::istream stream{&characters};
  Entries entries{characters, terms, visit};
  if (Parsed::sax_parse(stream, &entries)) return std::nullopt;
  return Refusal{"manifest-form",
                 fmt::format("the file is no manifest: {}", entries.wrong()),
                 "get the file from its source again"};
}

}  // namespace keyferry::appliance
