#include <algorithm>
#include <utility>

#include "token/container.h"

namespace keyferry::token {
namespace {

const crypto::PublicKey& checked_recipient(const Header& header,
                                           const crypto::PublicKey& recipient) {
  if (header.recipient != recipient.key_id()) {
    throw Error{Code::InvalidArgument, "sealer: the header names another recipient"};
  }
  return recipient;
}

Bytes info_of(const Header& header) {
  return hpke_info(crypto::sha256(encode(header)));
}

}  // namespace

Sealer::Sealer(const Header& header, const crypto::PublicKey& recipient, Sink sink)
    : Sealer{header,
             std::move(sink),
             crypto::setup_base_sender(crypto::HpkeSuite::Aes256Gcm,
                                       checked_recipient(header, recipient),
                                       info_of(header))} {}

Sealer::Sealer(const Header& header,
               const crypto::PublicKey& recipient,
               Sink sink,
               const crypto::SoftKey& ephemeral)
    : Sealer{header,
             std::move(sink),
             crypto::setup_base_sender(crypto::HpkeSuite::Aes256Gcm,
                                       checked_recipient(header, recipient),
                                       info_of(header),
                                       ephemeral)} {}

Sealer::Sealer(const Header& header, Sink sink, crypto::HpkeSenderSetup setup)
    : header_{header},
      sink_{std::move(sink)},
      enc_{std::move(setup.enc)},
      header_hash_{crypto::sha256(encode(header))},
      content_key_{export_content_key(setup.context)},
      aead_{content_key_.key},
      digest_{header_hash_} {
  plaintext_.reserve(kChunkBytes);
  ciphertext_.reserve(kSealedChunkBytes);
  sink_(encode(header_));
}

void Sealer::write(ByteView plaintext) {
  if (finished_) throw Error{Code::InvalidArgument, "sealer: written to after its end"};
  if (plaintext.size() > header_.body_bound_bytes - body_size_bytes_) {
    throw Error{Code::InvalidArgument, "sealer: the body is longer than its header allows"};
  }
  body_size_bytes_ += plaintext.size();
  while (!plaintext.empty()) {
    // A full chunk waits for what follows: only then is it known that it is not the last.
    if (plaintext_.size() == kChunkBytes) seal_chunk(false);
    const std::size_t part = std::min(plaintext.size(), kChunkBytes - plaintext_.size());
    append(plaintext_, plaintext.first(part));
    plaintext = plaintext.subspan(part);
  }
}

void Sealer::seal_chunk(bool last) {
  ciphertext_.clear();
  const Bytes nonce = chunk_nonce(content_key_.nonce_prefix, digest_.chunk_count(), last);
  aead_.seal(nonce, header_hash_.bytes(), plaintext_, ciphertext_);
  plaintext_.clear();
  digest_.add_chunk(crypto::sha256(ciphertext_));
  sink_(ciphertext_);
}

Sealed Sealer::finish() {
  if (finished_) throw Error{Code::InvalidArgument, "sealer: finished twice"};
  seal_chunk(true);
  finished_ = true;
  return Sealed{digest_.finish(enc_), digest_.chunk_count(), enc_, body_size_bytes_};
}

Bytes make_trailer(const Sealed& sealed, ByteView signature) {
  return encode(Trailer{sealed.chunk_count, sealed.enc, to_bytes(signature)});
}

}  // namespace keyferry::token
