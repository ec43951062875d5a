// The fixed octets of header and trailer, and what is derived from them.
#include <utility>

#include "token/container.h"

namespace keyferry::token {
namespace {

Refusal refusal(const char* reason, std::string text) {
  return Refusal{
      reason, std::move(text), "copy the file again; if it stays so, ask the sender for the token"};
}

/// Reads fields one after another; the caller has checked the whole length.
class Cursor {
 public:
  explicit Cursor(ByteView octets) : left_{octets} {}

  ByteView take(std::size_t size_bytes) {
    const ByteView field = left_.first(size_bytes);
    left_ = left_.subspan(size_bytes);
    return field;
  }

  std::uint16_t u16() { return read_u16be(take(2)); }

  std::uint32_t u32() { return read_u32be(take(4)); }

  std::uint64_t u64() { return read_u64be(take(8)); }

  template <typename Id>
  Id id() {
    return *Id::from_bytes(take(Id::kSizeBytes));
  }

 private:
  ByteView left_;
};

}  // namespace

Bytes encode(const Header& header) {
  if (header.body_bound_bytes > kMaxBodyBytes) {
    throw Error{Code::InvalidArgument, "container header: the body bound is above 2^32 - 1 chunks"};
  }
  Bytes out;
  out.reserve(kHeaderSizeBytes);
  append(out, as_bytes(kHeaderMagic));
  append_u16be(out, kFormat);
  append_u16be(out, kSuite);
  out.push_back(static_cast<std::uint8_t>(header.type));
  out.push_back(static_cast<std::uint8_t>(header.environment));
  append(out, header.container_id.bytes());
  append(out, header.batch_id.bytes());
  append_u32be(out, header.index);
  append_u32be(out, header.count);
  append_u64be(out, header.body_bound_bytes);
  append(out, header.sender.bytes());
  append(out, header.recipient.bytes());
  return out;
}

std::variant<Header, Refusal> parse_header(ByteView octets) {
  if (octets.size() != kHeaderSizeBytes) {
    return refusal("size", "the file is shorter than a container's header");
  }
  Cursor cursor{octets};
  if (!equal(cursor.take(kHeaderMagic.size()), as_bytes(kHeaderMagic))) {
    return refusal("magic", "this is no keyferry container");
  }
  if (const auto format = cursor.u16(); format != kFormat) {
    return Refusal{"format",
                   "container format " + std::to_string(format) + " is not known here",
                   "a newer keyferry may read it"};
  }
  if (const auto suite = cursor.u16(); suite != kSuite) {
    return Refusal{"suite",
                   "container suite " + std::to_string(suite) + " is not known here",
                   "a newer keyferry may read it"};
  }
  const auto type = container_type_from_number(cursor.take(1)[0]);
  if (!type) return refusal("type", "the container's type is not known");
  const auto environment = environment_from_number(cursor.take(1)[0]);
  if (!environment) return refusal("environment", "the container's environment is not known");

  Header header;
  header.type = *type;
  header.environment = *environment;
  header.container_id = cursor.id<ContainerId>();
  header.batch_id = cursor.id<BatchId>();
  header.index = cursor.u32();
  header.count = cursor.u32();
  header.body_bound_bytes = cursor.u64();
  header.sender = cursor.id<KeyId>();
  header.recipient = cursor.id<KeyId>();
  if (header.body_bound_bytes > kMaxBodyBytes) {
    return refusal("bound", "the container's body bound is above 2^32 - 1 chunks");
  }
  return header;
}

Bytes encode(const Trailer& trailer) {
  if (trailer.chunk_count == 0 || trailer.enc.size() != kEncBytes ||
      trailer.signature.size() != crypto::kSignatureBytes) {
    throw Error{Code::InvalidArgument, "container trailer: a field has the wrong length"};
  }
  Bytes out;
  out.reserve(kTrailerSizeBytes);
  append(out, as_bytes(kTrailerMagic));
  append_u32be(out, trailer.chunk_count);
  append(out, trailer.enc);
  append(out, trailer.signature);
  return out;
}

std::variant<Trailer, Refusal> parse_trailer(ByteView octets) {
  if (octets.size() != kTrailerSizeBytes) {
    return refusal("trailer", "the container's end is missing");
  }
  Cursor cursor{octets};
  if (!equal(cursor.take(kTrailerMagic.size()), as_bytes(kTrailerMagic))) {
    return refusal("trailer", "the file does not end with a container's trailer");
  }
  Trailer trailer;
  trailer.chunk_count = cursor.u32();
  trailer.enc = to_bytes(cursor.take(kEncBytes));
  trailer.signature = to_bytes(cursor.take(crypto::kSignatureBytes));
  if (trailer.chunk_count == 0) return refusal("trailer", "the trailer counts no chunk");
  return trailer;
}

std::uint64_t container_size_bytes(std::uint64_t body_bytes) {
  if (body_bytes > kMaxBodyBytes) {
    throw Error{Code::InvalidArgument, "container: a body above 2^32 - 1 chunks"};
  }
  const std::uint64_t chunks = body_bytes == 0 ? 1 : (body_bytes - 1) / kChunkBytes + 1;
  return kHeaderSizeBytes + body_bytes + chunks * crypto::kGcmTagBytes + kTrailerSizeBytes;
}

std::uint64_t max_container_size_bytes(const Header& header) {
  return container_size_bytes(header.body_bound_bytes);
}

Bytes hpke_info(const Digest& header_hash) {
  Bytes info = to_bytes(as_bytes("keyferry/v1/container"));
  append(info, header_hash.bytes());
  return info;
}

ContentKey export_content_key(const crypto::HpkeContext& context) {
  ContentKey out;
  out.key = context.export_secret(as_bytes("keyferry/v1/content-key"), 32);
  const SecretBytes prefix =
      context.export_secret(as_bytes("keyferry/v1/nonce-prefix"), kNoncePrefixBytes);
  out.nonce_prefix = to_bytes(prefix.expose());
  return out;
}

Bytes chunk_nonce(ByteView nonce_prefix, std::uint32_t counter, bool last) {
  Bytes nonce = to_bytes(nonce_prefix);
  append_u32be(nonce, counter);
  nonce.push_back(last ? 1 : 0);
  return nonce;
}

void DigestBuilder::add_chunk(const Digest& chunk_hash) {
  if (chunk_count() == 0xffff'ffffU) {
    throw Error{Code::InvalidArgument, "container: more than 2^32 - 1 chunks"};
  }
  append(hashes_, chunk_hash.bytes());
}

Digest DigestBuilder::finish(ByteView enc) const {
  Bytes count;
  append_u32be(count, chunk_count());
  return crypto::sha256_of({header_hash_.bytes(), enc, count, hashes_});
}

}  // namespace keyferry::token
