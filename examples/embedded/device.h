/* What the programs here need of the machine they run on. Each start_*.c has it for one kind. */
#ifndef DEVICE_H
#define DEVICE_H

/* Writes a text to the machine's console, a debugger's where it has none of its own. */
void print(const char* text);

/* The same of a number that isn't negative. */
static inline void print_number(int n) {
  char digits[12];
  int at = sizeof digits - 1;
  digits[at] = 0;
  do digits[--at] = (char)('0' + n % 10);
  while (n /= 10);
  print(digits + at);
}

/* Defined by the program; its result becomes the exit status. */
int main(void);

#endif
