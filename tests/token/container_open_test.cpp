// Every wrong container that can arrive, and the refusal it gets.
#include "token/container_open.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

using test::container_of;
using test::file_of;
using test::id_of;
using test::open_whole;
using test::pattern;
using test::plain_expectation;
using test::plain_header;
using test::reason_of;

constexpr std::size_t kThreeChunks = 2 * kChunkBytes + 1000;

TEST(ContainerOpen, GivesBackBodiesOfAllLengths) {
  for (const std::size_t size : {std::size_t{0},
                                 std::size_t{1},
                                 kChunkBytes - 1,
                                 kChunkBytes,
                                 kChunkBytes + 1,
                                 2 * kChunkBytes,
                                 kThreeChunks}) {
    const Bytes body = pattern(size);
    const Bytes container = container_of(body);
    EXPECT_EQ(container.size(), container_size_bytes(size));
    const auto opened = open_whole(container);
    ASSERT_EQ(reason_of(opened), "") << size;
    EXPECT_EQ(std::get<Bytes>(opened), body);
  }
}

TEST(ContainerOpen, DoesNotDependOnHowTheBodyWasWritten) {
  const Bytes body = pattern(kThreeChunks);
  Bytes container;
  Sealer sealer{plain_header(), test::recipient_key().public_key(), [&](ByteView b) {
                  append(container, b);
                }};
  for (std::size_t at = 0; at < body.size(); at += 777) {
    sealer.write(ByteView{body}.subspan(at, std::min<std::size_t>(777, body.size() - at)));
  }
  const Sealed sealed = sealer.finish();
  auto signer = test::sender_key();
  append(
      container,
      make_trailer(sealed,
                   crypto::sign(signer, crypto::SignatureKind::Container, sealed.digest.bytes())));
  const auto opened = open_whole(container);
  ASSERT_EQ(reason_of(opened), "");
  EXPECT_EQ(std::get<Bytes>(opened), body);
  EXPECT_EQ(sealed.body_size_bytes, body.size());
  EXPECT_EQ(sealed.chunk_count, 3U);
}

TEST(ContainerOpen, GivesTheDigestThatWasSignedAndThatAWorkerComputes) {
  const Fd file = file_of(container_of(pattern(kThreeChunks)));
  const auto outlined = outline(file, plain_expectation());
  ASSERT_EQ(reason_of(outlined), "");
  const auto& found = std::get<Outline>(outlined);
  EXPECT_EQ(found.header, plain_header());
  EXPECT_EQ(found.chunk_hashes.size(), 3U);
  EXPECT_EQ(found.body_size_bytes(), kThreeChunks);
  EXPECT_EQ(recompute_digest(found.header_bytes, found.trailer.enc, found.chunk_hashes),
            found.digest);
}

TEST(ContainerOpen, RefusesEachChangedOctetOfHeaderAndTrailer) {
  const Bytes good = container_of(pattern(100));
  std::vector<std::size_t> offsets;
  for (std::size_t i = 0; i < kHeaderSizeBytes; ++i) offsets.push_back(i);
  for (std::size_t i = good.size() - kTrailerSizeBytes; i < good.size(); ++i) offsets.push_back(i);
  for (const std::size_t offset : offsets) {
    for (const int bit : {0x01, 0x80}) {
      Bytes bad = good;
      bad[offset] = static_cast<std::uint8_t>(bad[offset] ^ bit);
      EXPECT_NE(reason_of(open_whole(bad)), "") << "offset " << offset << " bit " << bit;
    }
  }
}

TEST(ContainerOpen, RefusesAChangedChunkByItsSignature) {
  const Bytes good = container_of(pattern(kThreeChunks));
  const std::size_t first = kHeaderSizeBytes;
  const std::size_t end = good.size() - kTrailerSizeBytes;
  for (const std::size_t offset : {first,
                                   first + 1,
                                   first + kChunkBytes - 1,
                                   first + kChunkBytes,
                                   first + kSealedChunkBytes,
                                   first + 2 * kSealedChunkBytes,
                                   end - 16,
                                   end - 1}) {
    Bytes bad = good;
    bad[offset] = static_cast<std::uint8_t>(bad[offset] ^ 0x10);
    EXPECT_EQ(reason_of(open_whole(bad)), "signature") << "offset " << offset;
  }
}

TEST(ContainerOpen, RefusesOneThatIsCutShort) {
  const Bytes good = container_of(pattern(kThreeChunks));
  std::set<std::size_t> sizes{0,
                              1,
                              kHeaderSizeBytes - 1,
                              kHeaderSizeBytes,
                              kHeaderSizeBytes + 1,
                              kHeaderSizeBytes + 16,
                              kHeaderSizeBytes + kTrailerSizeBytes + 15};
  for (std::size_t i = 1; i <= kTrailerSizeBytes + 20; ++i) sizes.insert(good.size() - i);
  for (std::size_t chunks = 1; chunks <= 2; ++chunks) {
    const std::size_t edge = kHeaderSizeBytes + chunks * kSealedChunkBytes;
    for (const std::size_t size : {edge - 1, edge, edge + 1, edge + kTrailerSizeBytes})
      sizes.insert(size);
  }
  for (const std::size_t size : sizes) {
    EXPECT_NE(reason_of(open_whole(ByteView{good}.first(size))), "") << size;
  }
}

TEST(ContainerOpen, RefusesABodyWhoseLastChunksWereTakenOut) {
  // The trailer is moved up behind the first chunk, with its count made to fit: the signature
  // covers the count.
  const Bytes good = container_of(pattern(kThreeChunks));
  Bytes bad{good.begin(), good.begin() + kHeaderSizeBytes + kSealedChunkBytes};
  append(bad, ByteView{good}.last(kTrailerSizeBytes));
  EXPECT_EQ(reason_of(open_whole(bad)), "size");
  bad[kHeaderSizeBytes + kSealedChunkBytes + 11] = 1;
  EXPECT_EQ(reason_of(open_whole(bad)), "signature");
}

TEST(ContainerOpen, RefusesExchangedChunks) {
  Bytes bad = container_of(pattern(kThreeChunks));
  std::swap_ranges(bad.begin() + kHeaderSizeBytes,
                   bad.begin() + kHeaderSizeBytes + kSealedChunkBytes,
                   bad.begin() + kHeaderSizeBytes + kSealedChunkBytes);
  EXPECT_EQ(reason_of(open_whole(bad)), "signature");
}

TEST(ContainerOpen, RefusesOctetsBehindTheTrailer) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, kThreeChunks}) {
    for (const std::size_t more : {1, 16, 141, 4096}) {
      Bytes bad = container_of(pattern(size));
      bad.resize(bad.size() + more);
      EXPECT_NE(reason_of(open_whole(bad)), "") << size << " + " << more;
    }
  }
}

TEST(ContainerOpen, RefusesASecondTrailer) {
  Bytes bad = container_of(pattern(100));
  append(bad, Bytes{bad.end() - kTrailerSizeBytes, bad.end()});
  EXPECT_EQ(reason_of(open_whole(bad)), "signature");
}

TEST(ContainerOpen, RefusesOneSealedForAnotherRecipient) {
  Header header = plain_header();
  header.recipient = id_of(test::stranger_key());
  const Bytes container =
      container_of(pattern(100), header, test::sender_key(), test::stranger_key());
  EXPECT_EQ(reason_of(open_whole(container)), "recipient");
}

TEST(ContainerOpen, DoesNotOpenUnderAnotherRecipientsKey) {
  const Fd file = file_of(container_of(pattern(100)));
  const auto opened =
      open_whole(file, plain_expectation(), test::sender_key(), test::stranger_key());
  EXPECT_EQ(reason_of(opened), "body");
}

TEST(ContainerOpen, RefusesAStrangersSignature) {
  // The stranger puts the known sender's name into the header.
  EXPECT_EQ(reason_of(open_whole(container_of(pattern(100), plain_header(), test::stranger_key()))),
            "signature");
}

TEST(ContainerOpen, RefusesAnHonestStranger) {
  Header header = plain_header();
  header.sender = id_of(test::stranger_key());
  const Fd file = file_of(container_of(pattern(100), header, test::stranger_key()));
  EXPECT_EQ(reason_of(open_whole(file, plain_expectation())), "sender");
  Expectation expected = plain_expectation();
  expected.sender = id_of(test::sender_key());
  EXPECT_EQ(reason_of(outline(file, expected)), "sender");
}

TEST(ContainerOpen, RefusesABodyThatAnotherEnrolledSenderSignedAgain) {
  // Another station puts its own name and signature on a container that it copied. Its key id is in
  // the header, the header's hash in the content key: the body does not open.
  const Bytes copied = container_of(pattern(100));
  Header header = plain_header();
  auto other = test::stranger_key();
  header.sender = id_of(other);
  const Bytes header_bytes = encode(header);
  const ByteView chunk = ByteView{copied}.subspan(kHeaderSizeBytes, 116);
  const Bytes enc = to_bytes(ByteView{copied}.last(kTrailerSizeBytes).subspan(12, kEncBytes));
  const Digest digest = recompute_digest(header_bytes, enc, {crypto::sha256(chunk)});
  Bytes forged = header_bytes;
  append(forged, chunk);
  append(forged,
         encode(Trailer{
             1, enc, crypto::sign(other, crypto::SignatureKind::Container, digest.bytes())}));
  const auto opened = open_whole(file_of(forged), plain_expectation(), other);
  EXPECT_EQ(reason_of(opened), "body");
}

TEST(ContainerOpen, RefusesASignatureOfAnotherKind) {
  auto signer = test::sender_key();
  Bytes container;
  Sealer sealer{plain_header(), test::recipient_key().public_key(), [&](ByteView b) {
                  append(container, b);
                }};
  const Sealed sealed = sealer.finish();
  append(container,
         make_trailer(sealed,
                      crypto::sign(signer, crypto::SignatureKind::Receipt, sealed.digest.bytes())));
  EXPECT_EQ(reason_of(open_whole(container)), "signature");
}

TEST(ContainerOpen, RefusesWhatTheCallerDidNotExpect) {
  const Fd file = file_of(container_of(pattern(100)));

  struct Case {
    std::function<void(Expectation&)> change;
    const char* reason;
  };

  const std::vector<Case> cases{
      {[](Expectation& e) { e.type = ContainerType::Manifest; }, "type"},
      {[](Expectation& e) { e.type = ContainerType::Receipts; }, "type"},
      {[](Expectation& e) { e.environment = Environment::Production; }, "environment"},
      {[](Expectation& e) { e.recipient = id_of(test::stranger_key()); }, "recipient"},
      {[](Expectation& e) { e.batch_id = test::id_filled<BatchId>(9); }, "batch"},
      {[](Expectation& e) { e.index = 3; }, "index"},
      {[](Expectation& e) { e.max_body_bytes = (1U << 20) - 1; }, "bound"},
  };
  for (const Case& wrong : cases) {
    Expectation expected = plain_expectation();
    wrong.change(expected);
    EXPECT_EQ(reason_of(outline(file, expected)), wrong.reason);
  }
}

TEST(ContainerOpen, RefusesAFileLongerThanItsHeaderAllows) {
  // What a sender with a broken sealer would make: everything fits but the bound.
  Bytes container = container_of(pattern(100), plain_header(100));
  EXPECT_EQ(reason_of(open_whole(container)), "");
  Header header = plain_header(99);
  Bytes changed = encode(header);
  append(changed, ByteView{container}.subspan(kHeaderSizeBytes));
  EXPECT_EQ(reason_of(open_whole(changed)), "size");
}

TEST(ContainerOpen, RefusesAnEmptyFile) {
  EXPECT_EQ(reason_of(open_whole(Bytes{})), "size");
}

TEST(ContainerOpen, RefusesTenGigabytesOfZerosWithoutReadingThem) {
  const Fd file = file_of({});
  ASSERT_EQ(ftruncate(file.get(), off_t{10} << 30), 0);
  EXPECT_EQ(reason_of(outline(file, plain_expectation())), "magic");
}

TEST(ContainerOpen, RefusesAGoodHeaderBeforeGigabytesOfZerosByItsSize) {
  const Fd file = file_of(encode(plain_header()));
  ASSERT_EQ(ftruncate(file.get(), off_t{10} << 30), 0);
  EXPECT_EQ(reason_of(outline(file, plain_expectation())), "size");
}

TEST(ContainerOpen, NoticesAFileThatChangedBetweenThePasses) {
  const Bytes good = container_of(pattern(kThreeChunks));
  const Fd file = file_of(good);
  const auto outlined = outline(file, plain_expectation());
  const auto& found = std::get<Outline>(outlined);
  crypto::SoftDhKey recipient{test::recipient_key()};
  const auto key = open_content_key(found.trailer.enc, found.header_bytes, recipient);
  BodyReader reader{file, found, *key};
  ASSERT_EQ(reason_of(reader.next()), "");
  // Another chunk that is valid under the same key, for this place: only the hash of the first pass
  // tells.
  crypto::AesGcm aead{key->key};
  Bytes other;
  aead.seal(chunk_nonce(key->nonce_prefix, 1, false),
            found.header_hash.bytes(),
            Bytes(kChunkBytes, 7),
            other);
  ASSERT_EQ(pwrite(file.get(), other.data(), other.size(), kHeaderSizeBytes + kSealedChunkBytes),
            static_cast<ssize_t>(other.size()));
  EXPECT_EQ(reason_of(reader.next()), "body");
  EXPECT_EQ(reason_of(reader.next()), "body") << "a reader that refused goes on refusing";
}

TEST(ContainerOpen, NoticesAFileThatBecameShorterBetweenThePasses) {
  const Fd file = file_of(container_of(pattern(kThreeChunks)));
  const auto outlined = outline(file, plain_expectation());
  const auto& found = std::get<Outline>(outlined);
  crypto::SoftDhKey recipient{test::recipient_key()};
  const auto key = open_content_key(found.trailer.enc, found.header_bytes, recipient);
  ASSERT_EQ(ftruncate(file.get(), kHeaderSizeBytes + 100), 0);
  EXPECT_EQ(reason_of(BodyReader(file, found, *key).next()), "body");
}

TEST(ContainerOpen, HandsOnTheRefusalOfWhoTakesTheBody) {
  const Fd file = file_of(container_of(pattern(kThreeChunks)));
  const auto outlined = outline(file, plain_expectation());
  const auto& found = std::get<Outline>(outlined);
  crypto::SoftDhKey recipient{test::recipient_key()};
  const auto key = open_content_key(found.trailer.enc, found.header_bytes, recipient);
  BodyReader reader{file, found, *key};
  EXPECT_EQ(reason_of(reader.read_all([](ByteView) -> Checked {
              return Refusal{"mine", ""};
            })),
            "mine");
}

TEST(ContainerOpen, RefusesAnEncapsulatedKeyThatIsNoPoint) {
  crypto::SoftDhKey recipient{test::recipient_key()};
  EXPECT_FALSE(open_content_key(Bytes(kEncBytes, 4), encode(plain_header()), recipient));
  EXPECT_FALSE(open_content_key(Bytes(64, 4), encode(plain_header()), recipient));
}

TEST(Sealer, KeepsToTheBoundOfItsHeader) {
  Sealer sealer{plain_header(10), test::recipient_key().public_key(), [](ByteView) {}};
  sealer.write(pattern(10));
  EXPECT_THROW(sealer.write(pattern(1)), Error);
}

TEST(Sealer, RefusesARecipientThatTheHeaderDoesNotName) {
  EXPECT_THROW(Sealer(plain_header(), test::stranger_key().public_key(), [](ByteView) {}), Error);
}

TEST(Sealer, EndsOnce) {
  Sealer sealer{plain_header(), test::recipient_key().public_key(), [](ByteView) {}};
  static_cast<void>(sealer.finish());
  EXPECT_THROW(static_cast<void>(sealer.finish()), Error);
  EXPECT_THROW(sealer.write(pattern(1)), Error);
}

TEST(Sealer, NeverSealsTwiceUnderOneKey) {
  const Bytes body = pattern(100);
  EXPECT_NE(container_of(body), container_of(body));
}

}  // namespace
}  // namespace keyferry::token
