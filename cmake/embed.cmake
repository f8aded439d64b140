# SPDX-License-Identifier: MIT
# cmake -DINPUT=file -DOUTPUT=file.c -DNAME=symbol -DHEADER=path -P embed.cmake
# Writes a C file that holds INPUT's bytes as `const unsigned char NAME[]` and their number as `const size_t NAME_bytes`.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "(..)" "0x\\1," values "${hex}")
string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" values "${values}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nconst unsigned char ${NAME}[] = {\n${values}};\n"
  "const size_t ${NAME}_bytes = ${bytes};\n")
