/* What the programs here need of the machine they run on. Each start_*.c has it for one kind. */
#ifndef DEVICE_H
#define DEVICE_H

/* Writes a text to the machine's console, a debugger's where it has none of its own. */
void print(const char* text);

/* Defined by the program; its result becomes the exit status. */
int main(void);

#endif
