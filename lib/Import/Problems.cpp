//===- Problems.cpp - Collected errors of one file ------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/Problems.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using llvm::StringRef;
using llvm::Twine;

/// Length of the UTF-8 sequence that starts at `text[at]`, or 0 if it is not
/// one that may be printed as it is.
static size_t printableSequence(StringRef text, size_t at) {
  unsigned char lead = text[at];
  if (lead < 0x80)
    return llvm::isPrint(lead) ? 1 : 0;
  // C1 control characters (U+0080..U+009F) drive terminals as ESC does.
  if (lead == 0xC2 && at + 1 < text.size() &&
      static_cast<unsigned char>(text[at + 1]) < 0xA0)
    return 0;
  // Direction overrides and the like (U+2028..U+202F, U+2066..U+2069).
  if (lead == 0xE2 && at + 2 < text.size()) {
    unsigned char second = text[at + 1], third = text[at + 2];
    if ((second == 0x80 && third >= 0xA8 && third <= 0xAF) ||
        (second == 0x81 && third >= 0xA6 && third <= 0xA9))
      return 0;
  }
  unsigned length = llvm::getNumBytesForUTF8(lead);
  if (length > 4 || at + length > text.size())
    return 0;
  const auto *begin = reinterpret_cast<const llvm::UTF8 *>(text.data() + at);
  return llvm::isLegalUTF8Sequence(begin, begin + length) ? length : 0;
}

/// `text` without characters that a terminal would act on, of at most `limit`
/// bytes.
static std::string escape(StringRef text, size_t limit) {
  std::string result;
  llvm::raw_string_ostream os(result);
  for (size_t at = 0; at < text.size();) {
    if (result.size() >= limit) {
      os << "... (" << text.size() << " bytes)";
      break;
    }
    size_t length = printableSequence(text, at);
    if (length == 0 || text[at] == '\'' || text[at] == '\\') {
      unsigned char byte = text[at];
      if (byte == '\'' || byte == '\\')
        os << '\\' << text[at];
      else if (byte == '\n')
        os << "\\n";
      else if (byte == '\t')
        os << "\\t";
      else
        os << "\\x" << llvm::hexdigit(byte >> 4) << llvm::hexdigit(byte & 15);
      ++at;
      continue;
    }
    os << text.substr(at, length);
    at += length;
  }
  return result;
}

std::string lathe::escapeName(StringRef text) { return escape(text, 100); }

/// A path that the user typed is shown whole.
static std::string escapePath(StringRef path) { return escape(path, 4096); }

std::string lathe::quoteName(StringRef text) {
  return "'" + escapeName(text) + "'";
}

void Problems::add(const Twine &subject, const Twine &reason, StringRef newHint,
                   StringRef group) {
  ++count;
  if (hint.empty())
    hint = newHint.str();
  if (!group.empty()) {
    auto [it, isNew] = groups.try_emplace(group, lines.size());
    if (!isNew) {
      if (it->second < lines.size())
        ++lines[it->second].others;
      return;
    }
  }
  if (lines.size() >= kMaxLines) {
    ++unshown;
    return;
  }
  std::string text = subject.str();
  if (!text.empty())
    text += ": ";
  lines.push_back({text + reason.str()});
}

llvm::Error Problems::toError() const {
  std::string text;
  llvm::raw_string_ostream os(text);
  print(os);
  llvm::StringRef block = llvm::StringRef(text).rtrim();
  block.consume_front("error: ");
  return llvm::createStringError(block);
}

void Problems::print(llvm::raw_ostream &os) const {
  if (empty())
    return;
  os << "error: " << escapePath(file) << ": " << count
     << (count == 1 ? " problem\n" : " problems\n");
  for (const Line &line : lines) {
    os << "  " << line.text;
    if (line.others)
      os << " (and " << line.others << " more like it)";
    os << "\n";
  }
  if (unshown)
    os << "  and " << unshown << " more\n";
  if (!hint.empty())
    os << "hint: " << hint << "\n";
}

void Problems::printNotes(llvm::raw_ostream &os) const {
  for (const std::string &text : notes)
    os << "note: " << escapePath(file) << ": " << text << "\n";
}
