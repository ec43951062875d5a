// Keys, containers and media for the tests of token/. Fixed scalars, so a failing test says the
// same twice.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "token/container.h"
#include "token/container_open.h"
#include "token/items.h"
#include "token/medium.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::token::test {

inline crypto::SoftKey key_of(std::uint8_t octet) {
  return *crypto::SoftKey::from_scalar(
      SecretBytes::copy_of(Bytes(crypto::SoftKey::kScalarBytes, octet)));
}

inline crypto::SoftKey sender_key() {
  return key_of(0x11);
}

inline crypto::SoftKey recipient_key() {
  return key_of(0x22);
}

inline crypto::SoftKey stranger_key() {
  return key_of(0x44);
}

inline KeyId id_of(const crypto::SoftKey& key) {
  return key.public_key().key_id();
}

template <typename Id>
Id id_filled(std::uint8_t octet) {
  return *Id::from_bytes(Bytes(Id::kSizeBytes, octet));
}

inline Header plain_header(std::uint64_t bound = 1U << 20) {
  Header header;
  header.type = ContainerType::Segment;
  header.environment = Environment::Development;
  header.container_id = id_filled<ContainerId>(0xc1);
  header.batch_id = id_filled<BatchId>(0xb1);
  header.index = 2;
  header.count = 3;
  header.body_bound_bytes = bound;
  header.sender = id_of(sender_key());
  header.recipient = id_of(recipient_key());
  return header;
}

inline Expectation plain_expectation() {
  Expectation expected;
  expected.type = ContainerType::Segment;
  expected.environment = Environment::Development;
  expected.recipient = id_of(recipient_key());
  expected.max_body_bytes = std::uint64_t{64} << 20;
  return expected;
}

/// A whole container in memory, signed by `signer`.
inline Bytes container_of(ByteView body,
                          const Header& header,
                          crypto::SoftKey signer = sender_key(),
                          const crypto::SoftKey& sealed_to = recipient_key()) {
  Bytes out;
  Sealer sealer{header, sealed_to.public_key(), [&](ByteView octets) { append(out, octets); }};
  sealer.write(body);
  const Sealed sealed = sealer.finish();
  append(
      out,
      make_trailer(sealed,
                   crypto::sign(signer, crypto::SignatureKind::Container, sealed.digest.bytes())));
  return out;
}

inline Bytes container_of(ByteView body) {
  return container_of(body, plain_header());
}

/// `size_bytes` octets without a period of 2^n.
inline Bytes pattern(std::size_t size_bytes) {
  Bytes out(size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) out[i] = static_cast<std::uint8_t>(i % 251);
  return out;
}

/// A file of this content that has no name.
inline Fd file_of(ByteView content) {
  std::string name = (std::filesystem::temp_directory_path() / "keyferry-test-XXXXXX").string();
  Fd fd{mkostemp(name.data(), O_CLOEXEC)};
  unlink(name.c_str());
  write_all(fd, content, name);
  return fd;
}

/// The whole way of a reader who pins `sender`: the body, or the refusal.
inline std::variant<Bytes, Refusal> open_whole(const Fd& file,
                                               const Expectation& expected,
                                               const crypto::SoftKey& sender = sender_key(),
                                               crypto::SoftKey recipient = recipient_key()) {
  auto outlined = outline(file, expected);
  if (auto* no = std::get_if<Refusal>(&outlined)) return *no;
  const Outline& found = std::get<Outline>(outlined);
  auto signature = check_signature(found, sender.public_key());
  if (auto* no = std::get_if<Refusal>(&signature)) return *no;
  crypto::SoftDhKey private_half{std::move(recipient)};
  const auto content_key = open_content_key(found.trailer.enc, found.header_bytes, private_half);
  if (!content_key) return Refusal{"enc", ""};
  Bytes body;
  auto read = BodyReader{file, found, *content_key}.read_all([&](ByteView octets) -> Checked {
    append(body, octets);
    return std::monostate{};
  });
  if (auto* no = std::get_if<Refusal>(&read)) return *no;
  return body;
}

inline std::variant<Bytes, Refusal> open_whole(ByteView container) {
  return open_whole(file_of(container), plain_expectation());
}

/// The reason of a refusal; "" for a yes.
template <typename Answer>
std::string reason_of(const Answer& answer) {
  const auto* no = std::get_if<Refusal>(&answer);
  return no == nullptr ? std::string{} : no->reason;
}

/// Hands every call on: tests override the one that misbehaves.
class ForwardMedium : public Medium {
 public:
  explicit ForwardMedium(Medium& inner) : inner_{inner} {}

  std::vector<MediumEntry> list(const std::string& folder, std::size_t max_entries) override {
    return inner_.list(folder, max_entries);
  }

  std::optional<MediumEntry> look(const std::string& name) override { return inner_.look(name); }

  std::unique_ptr<MediumFile> open(const std::string& name, ReadFrom from) override {
    return inner_.open(name, from);
  }

  std::uint64_t free_bytes() override { return inner_.free_bytes(); }

  void make_folder(const std::string& folder) override { inner_.make_folder(folder); }

  std::unique_ptr<MediumWriter> create(const std::string& name) override {
    return inner_.create(name);
  }

  void rename(const std::string& from, const std::string& to) override { inner_.rename(from, to); }

  void remove(const std::string& name) override { inner_.remove(name); }

  void sync_folder(const std::string& folder) override { inner_.sync_folder(folder); }

  void give_up(const std::string& why) override { inner_.give_up(why); }

 private:
  Medium& inner_;
};

}  // namespace keyferry::token::test
