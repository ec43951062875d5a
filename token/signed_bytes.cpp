#include "token/signed_bytes.h"

#include <utility>

#include "keyferry/v1/common.pb.h"
#include "token/convert.h"

namespace keyferry::token {

void to_message(const SignedBytes& value, keyferry::v1::SignedBytes& out) {
  out.set_payload(to_string(value.payload));
  for (const PayloadSignature& signature : value.signatures) {
    auto& message = *out.add_signatures();
    message.set_key_id(signature.key_id.str());
    message.set_signature(to_string(signature.signature));
  }
}

SignedBytes from_message(Fields& fields, const keyferry::v1::SignedBytes& message) {
  SignedBytes out;
  fields.check(!message.payload().empty() && message.payload().size() <= kMaxSignedPayloadBytes,
               "payload");
  fields.check(message.signatures_size() > 0 &&
                   static_cast<std::size_t>(message.signatures_size()) <= kMaxSignatures,
               "signatures");
  if (fields.bad()) return out;
  out.payload = to_bytes(as_bytes(message.payload()));
  for (const auto& signature : message.signatures()) {
    out.signatures.push_back({fields.id<KeyId>(signature.key_id(), "key-id"),
                              fields.octets(signature.signature(),
                                            crypto::kSignatureBytes,
                                            crypto::kSignatureBytes,
                                            "signature")});
  }
  return out;
}

Bytes encode(const SignedBytes& value) {
  keyferry::v1::SignedBytes message;
  to_message(value, message);
  Fields fields{"signed bytes"};
  static_cast<void>(from_message(fields, message));
  fields.throw_if_bad();
  return serialise_message(message);
}

std::variant<SignedBytes, Refusal> parse_signed_bytes(ByteView octets) {
  keyferry::v1::SignedBytes message;
  if (octets.size() <= kMaxSignedBytes && count_fields(octets, {2}) > kMaxSignatures) {
    return Refusal{"signatures", "signed bytes: more than 16 signatures"};
  }
  if (auto no = parse_message(octets, kMaxSignedBytes, message)) return std::move(*no);
  Fields fields{"signed bytes"};
  SignedBytes out = from_message(fields, message);
  if (fields.bad()) return fields.refusal();
  return out;
}

bool verify_signed(const SignedBytes& value,
                   crypto::SignatureKind kind,
                   const crypto::PublicKey& key) {
  const KeyId id = key.key_id();
  for (const PayloadSignature& signature : value.signatures) {
    if (signature.key_id == id && crypto::verify(key, kind, value.payload, signature.signature))
      return true;
  }
  return false;
}

SignedBytes sign_payload(crypto::Signer& signer, crypto::SignatureKind kind, Bytes payload) {
  SignedBytes out;
  out.signatures.push_back({signer.public_key().key_id(), crypto::sign(signer, kind, payload)});
  out.payload = std::move(payload);
  return out;
}

}  // namespace keyferry::token
