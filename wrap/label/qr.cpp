#include "wrap/label/qr.h"

#include <fmt/format.h>
#include <qrencode.h>

#include <memory>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::label {
namespace {

constexpr std::size_t kMaxBytes = 2000;
constexpr std::size_t kQuietZone = 4;        // ISO/IEC 18004 section 9.1
constexpr std::size_t kNarrowQuietZone = 2;  // on paper the margin is white anyway
constexpr int kWidthPixels = 256;

struct FreeCode {
  void operator()(QRcode* code) const { QRcode_free(code); }
};

bool dark(const std::vector<std::vector<bool>>& modules,
          std::size_t row,
          std::size_t column,
          std::size_t quiet) {
  if (row < quiet || column < quiet) return false;
  return row - quiet < modules.size() && column - quiet < modules.size() &&
         modules[row - quiet][column - quiet];
}

}  // namespace

std::vector<std::vector<bool>> qr_modules(std::string_view text) {
  if (text.empty() || text.size() > kMaxBytes)
    throw Error{Code::InvalidArgument, "a QR code is of 1 to 2,000 octets"};
  const ByteView octets = as_bytes(text);
  const std::unique_ptr<QRcode, FreeCode> code{
      QRcode_encodeData(static_cast<int>(octets.size()), octets.data(), 0, QR_ECLEVEL_M)};
  if (!code) throw Error{Code::Internal, "libqrencode made no code"};
  const auto width = static_cast<std::size_t>(code->width);
  std::vector<std::vector<bool>> modules(width, std::vector<bool>(width));
  for (std::size_t row = 0; row < width; ++row) {
    for (std::size_t column = 0; column < width; ++column) {
      modules[row][column] =
          (code->data[row * width + column] & 1U) != 0;  // qrencode.h: bit 0 is the colour
    }
  }
  return modules;
}

std::vector<std::string> qr_lines(std::string_view text) {
  const auto modules = qr_modules(text);
  const std::size_t width = modules.size() + 2 * kNarrowQuietZone;
  std::vector<std::string> lines;
  for (std::size_t row = 0; row < width; row += 2) {
    std::string line;
    for (std::size_t column = 0; column < width; ++column) {
      const bool upper = dark(modules, row, column, kNarrowQuietZone);
      const bool lower = dark(modules, row + 1, column, kNarrowQuietZone);
      line += upper && lower ? "\u2588" : upper ? "\u2580" : lower ? "\u2584" : " ";
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string qr_svg(std::string_view text) {
  const auto modules = qr_modules(text);
  const std::size_t width = modules.size() + 2 * kQuietZone;
  std::string path;
  for (std::size_t row = 0; row < width; ++row) {
    for (std::size_t column = 0; column < width; ++column) {
      if (dark(modules, row, column, kQuietZone))
        path += fmt::format("M{} {}h1v1h-1z", column, row);
    }
  }
  return fmt::format(
      "<svg viewBox=\"0 0 {0} {0}\" width=\"{1}\" height=\"{1}\" shape-rendering=\"crispEdges\" "
      "role=\"img\">"
      "<title>QR code</title><rect width=\"{0}\" height=\"{0}\" fill=\"#fff\"/><path d=\"{2}\" "
      "fill=\"#000\"/></svg>",
      width,
      kWidthPixels,
      path);
}

}  // namespace keyferry::label
