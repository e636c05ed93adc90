"""`meshnode top`: a screen that shows the mesh live, drawn by Textual in a process of its own.

Theory: four layers, each knowing only those before it. `news` is what may come from the peer; `feed` fetches it in
threads that block as every other command does; `board` folds it into what is known now; `tables`, `grid` and `log` turn
the board into lines of text, without any widget, and `panes`, `screens` and `app` paint those. Only these last three
import Textual, and asyncio stays inside it.

Invariants: it only reads; whatever happens to the peer, the screen stays, says so, and goes on when the peer is back.
What others wrote was made printable before it came here, and is painted as it is: nothing reads markup in it.
"""
