#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "wrap/base/error.h"
#include "wrap/label/picture.h"
#include "wrap/label/qr.h"
#include "wrap/label/quarantine.h"

namespace keyferry::label {
namespace {

QuarantineLabel sample() {
  return {.family = "pkcs11",
          .se_serial = "0011223344556677",
          .device_serial = "SN-1",
          .reason = "chain-invalid",
          .words = "The certificates read back from the SE are not valid.",
          .batch = "000102030405060708090a0b0c0d0e0f",
          .record_no = 12,
          .time = UtcMillis{1'795'341'600'000}};
}

struct Read {
  std::size_t width = 0, height = 0;
  Bytes pixels;
};

/// By libpng's reader.
Read read_png(const Bytes& octets) {
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, octets.data(), octets.size()), 0)
      << image.message;
  image.format = PNG_FORMAT_GRAY;
  Read read{image.width, image.height, Bytes(PNG_IMAGE_SIZE(image))};
  EXPECT_NE(png_image_finish_read(&image, nullptr, read.pixels.data(), 0, nullptr), 0)
      << image.message;
  return read;
}

TEST(QuarantineLabelText, IsTheExampleOfTheFormat) {
  EXPECT_EQ(qr_text(sample()),
            "KFQ1|pkcs11|0011223344556677|SN-1|chain-invalid|000102030405060708090a0b0c0d0e0f|12|2026-11-22T10:00:00Z");
}

TEST(QuarantineLabelText, KeepsItsFieldsApartWhateverIsInThem) {
  QuarantineLabel label = sample();
  label.se_serial = "a|b%c\n\x01";
  label.device_serial = std::string(5000, '|');
  const std::string text = qr_text(label);
  EXPECT_EQ(std::ranges::count(text, '|'), 7);
  EXPECT_NE(text.find("a%7cb%25c%0a%01|"), std::string::npos);
  EXPECT_LE(text.size(), 1200U);
  EXPECT_TRUE(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }));
  static_cast<void>(picture(label));
}

TEST(QuarantineLabelText, FitsTheStickersLines) {
  QuarantineLabel label = sample();
  label.words =
      "A long sentence about a chip \x1b[31m that goes on and on, until nobody reads it any more "
      "and on, and on.";
  label.se_serial = std::string(64, 'x');
  for (const std::string& line : text_lines(label)) {
    EXPECT_LE(line.size(), 48U) << line;
    EXPECT_TRUE(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; })) << line;
  }
  label.device_serial.clear();
  const auto lines = text_lines(label);
  EXPECT_TRUE(std::ranges::any_of(
      lines, [](const std::string& line) { return line.ends_with("not known"); }));
}

TEST(QuarantineLabelPicture, ShowsTheCodesModules) {
  const Read read = read_png(picture(sample()));
  const auto modules = qr_modules(qr_text(sample()));
  ASSERT_GE(read.height, (modules.size() + 8) * 6);
  for (std::size_t row = 0; row < modules.size(); ++row) {
    for (std::size_t column = 0; column < modules.size(); ++column) {
      const std::uint8_t pixel =
          read.pixels[((row + 4) * 6 + 3) * read.width + (column + 4) * 6 + 3];
      ASSERT_EQ(pixel == 0, modules[row][column]) << row << "," << column;
    }
  }
  for (std::size_t x = 0; x < 24; ++x)
    EXPECT_EQ(read.pixels[30 * read.width + x], 255) << "quiet zone";
}

TEST(LabelPicture, CutsOffWhatFallsOutsideAndRefusesSizesThatArePointless) {
  Picture sheet{10, 10};
  sheet.write("WWWW", 2, 2, 4);
  EXPECT_EQ(read_png(sheet.png()).width, 10U);
  EXPECT_THROW((Picture{0, 10}), Error);
  EXPECT_THROW((Picture{10, 5000}), Error);
}

TEST(LabelPicture, HasALetterOfItsOwnForEachCharacter) {
  std::set<std::string> seen;
  for (char letter = ' '; letter <= '~'; ++letter) {
    const auto& rows = glyph(letter);
    EXPECT_TRUE(std::ranges::all_of(rows, [](std::uint8_t row) { return row < 32; })) << letter;
    EXPECT_TRUE(seen.insert(std::string{std::begin(rows), std::end(rows)}).second) << letter;
  }
  EXPECT_EQ(&glyph('\n'), &glyph('?'));
}

}  // namespace
}  // namespace keyferry::label
