#include "station-agent/pkcs11_chip.h"

#include <signal.h>

#include <array>
#include <utility>

#include "wrap/base/frame.h"
#include "wrap/crypto/hash.h"
#include "wrap/se/family.h"

namespace keyferry::station {
namespace {

constexpr int kHelperSocket = 3;
constexpr std::chrono::milliseconds kGoodbye{2'000};
constexpr std::size_t kMaxKnown = lane_p11::kMaxKnownHandles;

[[noreturn]] void nonsense() {
  throw ChipLost{"the lane's helper gave an answer to another question"};
}

Child start_helper(const SePlace& place, const HelperSettings& settings, int socket) {
  ChildSpec spec;
  spec.program = settings.program;
  spec.descriptors = {{socket, kHelperSocket}};
  // Always set, empty where none is named: a helper never falls back on the system's own
  // configuration.
  spec.environment = {{"SOFTHSM2_CONF", place.softhsm2_conf ? place.softhsm2_conf->string() : ""}};
  return Child{spec};
}

std::optional<Refusal> done_or_refusal(const lane_p11::Reply& reply) {
  if (std::holds_alternative<lane_p11::Done>(reply)) return std::nullopt;
  if (const auto* refused = std::get_if<lane_p11::Refused>(&reply)) return refused->refusal;
  nonsense();
}

Refusal no_firmware() {
  return Refusal{"firmware-unsupported",
                 "an SE of family pkcs11 holds no key that verifies firmware"};
}

Holding holding_of(lane_p11::Holding holding) {
  switch (holding) {
    case lane_p11::Holding::Empty:
      return Holding::Empty;
    case lane_p11::Holding::Key:
      return Holding::Key;
    case lane_p11::Holding::Foreign:
      return Holding::Foreign;
    case lane_p11::Holding::Unsound:
      return Holding::Unsound;
  }
  return Holding::Unsound;
}

std::optional<SeSerial> serial_of(ByteView raw) {
  const auto serial = se::normalise_serial(se::Family::Pkcs11, raw);
  const auto* sound = std::get_if<SeSerial>(&serial);
  return sound == nullptr ? std::nullopt : std::optional<SeSerial>{*sound};
}

}  // namespace

KeyHandle key_handle(const BatchId& batch_id, RecordNo record_no) {
  Bytes number;
  append_u32be(number, record_no.value);
  constexpr std::array<std::uint8_t, 1> kZero{0};
  const Digest digest =
      crypto::sha256_of({as_bytes("keyferry/v1/key-handle"), kZero, batch_id.bytes(), number});
  return *KeyHandle::from_bytes(digest.bytes().first(KeyHandle::kSizeBytes));
}

Pkcs11Chip::Pkcs11Chip(const SePlace& place, const HelperSettings& settings)
    : place_{place}, settings_{settings} {
  auto [ours, theirs] = socket_pair();
  socket_ = std::move(ours);
  helper_ = start_helper(place_, settings_, theirs.get());
}

Pkcs11Chip::~Pkcs11Chip() {
  socket_.reset();
  static_cast<void>(helper_.wait_for(kGoodbye));
}

lane_p11::Reply Pkcs11Chip::exchange(const lane_p11::Request& request) {
  std::optional<Bytes> frame;
  try {
    write_frame(socket_.get(), lane_p11::serialise(request));
    frame = read_frame(socket_.get(), settings_.deadline);
  } catch (const Error& error) {
    helper_.kill(SIGKILL);  // whatever it was doing, it does nothing more to the chip
    throw ChipLost{std::string{"the lane's helper: "} + error.what()};
  }
  if (!frame) throw ChipLost{"the lane's helper ended"};
  const auto reply = lane_p11::parse_reply(*frame);
  if (!reply) nonsense();
  if (const auto* lost = std::get_if<lane_p11::Lost>(&*reply)) throw ChipLost{lost->text};
  return *reply;
}

std::variant<ChipFacts, ChipRefusal> Pkcs11Chip::identify() {
  const lane_p11::Reply reply = exchange(lane_p11::Open{p11::to_string(place_.uri)});
  if (const auto* refused = std::get_if<lane_p11::Refused>(&reply)) {
    return ChipRefusal{refused->refusal, serial_of(refused->found_serial)};
  }
  const auto* opened = std::get_if<lane_p11::Opened>(&reply);
  if (opened == nullptr) nonsense();
  const auto serial = se::normalise_serial(se::Family::Pkcs11, opened->serial);
  if (const auto* refusal = std::get_if<Refusal>(&serial)) return ChipRefusal{*refusal};
  return ChipFacts{std::get<SeSerial>(serial), opened->model, opened->prepared};
}

std::optional<Refusal> Pkcs11Chip::check(const token::Record&, const FirmwareImage* firmware) {
  if (firmware != nullptr) return no_firmware();
  return std::nullopt;
}

Asked Pkcs11Chip::ask(const KeyHandle& handle,
                      const std::vector<KeyHandle>& known,
                      const token::Record&) {
  lane_p11::Ask ask{handle, known};
  if (ask.known.size() > kMaxKnown) ask.known.resize(kMaxKnown);
  const lane_p11::Reply reply = exchange(ask);
  const auto* asked = std::get_if<lane_p11::Asked>(&reply);
  if (asked == nullptr) nonsense();
  return Asked{holding_of(asked->holding), asked->detail};
}

std::optional<Refusal> Pkcs11Chip::inject(const KeyHandle& handle, const token::Record& record) {
  return done_or_refusal(exchange(lane_p11::Inject{handle, record.key_name, record.payload}));
}

std::optional<Refusal> Pkcs11Chip::write_chain(const KeyHandle& handle,
                                               const token::Record& record) {
  lane_p11::WriteChain chain{handle, record.key_name, {record.certificate}};
  chain.certificates.insert(chain.certificates.end(), record.issuers.begin(), record.issuers.end());
  return done_or_refusal(exchange(chain));
}

std::variant<ReadChain, Refusal> Pkcs11Chip::read_chain(const KeyHandle& handle,
                                                        const token::Record&) {
  const lane_p11::Reply reply = exchange(lane_p11::ReadChain{handle});
  if (const auto* refused = std::get_if<lane_p11::Refused>(&reply)) return refused->refusal;
  if (const auto* chain = std::get_if<lane_p11::Chain>(&reply))
    return ReadChain{chain->certificates, chain->certificates.size()};
  nonsense();
}

std::optional<Refusal> Pkcs11Chip::lock(const token::Record&) { return std::nullopt; }

FirmwareAnswer Pkcs11Chip::verify_firmware(const token::Record&, const FirmwareImage&) {
  return {.refusal = no_firmware()};
}

PromisedEvidence Pkcs11Chip::evidence(const token::Record&) { return {}; }

std::variant<Bytes, Refusal> Pkcs11Chip::attest(const token::Record&, ByteView) { return Bytes{}; }

std::variant<Bytes, Refusal> Pkcs11Chip::answer(const KeyHandle& handle,
                                                const crypto::PublicKey&,
                                                ByteView message) {
  const lane_p11::Reply reply =
      exchange(lane_p11::Sign{handle, lane_p11::SignedKind::Challenge, to_bytes(message)});
  if (const auto* refused = std::get_if<lane_p11::Refused>(&reply)) return refused->refusal;
  if (const auto* signature = std::get_if<lane_p11::Signature>(&reply)) return signature->signature;
  nonsense();
}

std::variant<Bytes, Refusal> Pkcs11Chip::sign(const KeyHandle& handle,
                                              const token::Record&,
                                              ChipSigns kind,
                                              ByteView message) {
  const auto signed_kind =
      kind == ChipSigns::Receipt ? lane_p11::SignedKind::Receipt : lane_p11::SignedKind::Challenge;
  const lane_p11::Reply reply = exchange(lane_p11::Sign{handle, signed_kind, to_bytes(message)});
  if (const auto* refused = std::get_if<lane_p11::Refused>(&reply)) return refused->refusal;
  if (const auto* signature = std::get_if<lane_p11::Signature>(&reply)) return signature->signature;
  nonsense();
}

}  // namespace keyferry::station
