#include "token/audit-tool/transcript_view.h"

#include "wrap/base/error.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit_tool {

TranscriptView view_transcript(ByteView octets, const std::string& origin) {
  if (octets.empty()) throw Error{Code::Usage, origin + ": the file is empty"};
  if (octets.size() > kMaxTranscriptBytes) throw Error{Code::Usage, origin + ": larger than any transcript"};
  const Digest digest = crypto::sha256(octets);
  return TranscriptView{digest, to_words(digest.bytes())};
}

}  // namespace keyferry::audit_tool
